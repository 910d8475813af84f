"""The service: recommendations over HTTP, users and events in a database, and the catalogue as data that changes."""

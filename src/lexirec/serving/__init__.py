"""The service: recommendations over HTTP from a finished experiment, with users, events and a living catalogue."""

"""The HTTP side of the service: application, routes, keys, limits, health, metrics and logs."""

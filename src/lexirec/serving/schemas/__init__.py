"""Requests and answers of the service, which the client uses, too: pydantic models, nothing of the web."""

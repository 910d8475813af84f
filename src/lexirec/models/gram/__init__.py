"""gram."""

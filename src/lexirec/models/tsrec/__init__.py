"""tsrec."""

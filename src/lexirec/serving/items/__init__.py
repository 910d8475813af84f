"""Items as answers show them, and rows of items as requests give them."""

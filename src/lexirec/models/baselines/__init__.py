"""Baselines: popularity, item-to-item and sequential scorers of all items, and the table that names them."""

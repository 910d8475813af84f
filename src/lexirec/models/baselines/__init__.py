"""Baselines: counting, item similarity, matrix factorisation and sequential networks, and the table that names them."""

"""Catalogues, interactions and splits: read, checked, converted and generated; no torch."""

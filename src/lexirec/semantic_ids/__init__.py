"""Naming items: vectors, codes, lexicon, identifiers."""

"""Ensembles of recommenders: products of experts in the beam search, and reciprocal-rank fusion."""

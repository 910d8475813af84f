"""Quantisers: turn item embeddings, categories or published IDs into codes."""

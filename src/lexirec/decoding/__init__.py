"""Constrained decoding: trie of identifiers, beam search, exact scores, item constraints; independent of the model."""

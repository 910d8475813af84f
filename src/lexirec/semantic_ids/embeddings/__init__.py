"""Item embeddings: from texts (LSA, sentence encoders), from co-occurrence, or from a file."""

"""GRAM: generative recommendation by multi-granular late fusion on an encoder-decoder (arXiv 2506.01673)."""

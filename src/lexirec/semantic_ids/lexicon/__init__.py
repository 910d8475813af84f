"""Lexicons: keywords and descriptions of the cells of codes, by TF-IDF, contrast or a language model."""

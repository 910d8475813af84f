"""Semantic IDs: item embeddings, quantisation into codes, names of codes (lexicon), identifiers of items."""

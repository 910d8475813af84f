"""Neural building blocks shared by the model families: backbones, attention, heads, trie search, tokenizers."""

"""Item identifiers: unique, prefix-free token sequences, the schemes that build them, and reports on them."""

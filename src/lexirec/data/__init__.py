"""Facts: catalogues, interactions, splits, and where they come from (no torch here)."""

"""The toy shop: its generator, its pictures and its shoppers."""

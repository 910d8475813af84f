"""Generative recommendation with language models: from two tables to trained, measured, explained recommendations."""

"""Inference of what the columns of two tables hold, for `lexirec init`."""

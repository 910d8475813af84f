"""Benchmarks of speed and memory against reference implementations, on random weights and generated data."""

"""Workflows over experiments: demo, scaffold, doctor, audit, comparison, tuning, transfer, studies, benchmarks."""

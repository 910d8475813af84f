"""Compare stored evaluations: differences with tests, tables of results, slices and calibration."""

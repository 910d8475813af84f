"""How good ranked lists are: metrics, bootstrap intervals and tests, slices, variety, calibration, memorisation."""

"""Evaluation of ranked lists: metrics, bootstrap intervals and tests, slices, beyond accuracy, calibration."""

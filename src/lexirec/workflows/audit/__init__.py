"""Audit of an experiment: leakage of held-out data, and distortions of its evaluation protocol.

One function per check, from `Evidence` to findings; `examine` runs all of them. The audit trains nothing, except where
it is asked to make parts again (`refit`).
"""

"""Recommenders: GRAM, TS-Rec, baselines and ensembles, with loading, saving and distillation."""

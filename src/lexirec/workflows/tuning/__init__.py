"""Hyperparameter search with equal budgets per recommender: search space, trials, report."""

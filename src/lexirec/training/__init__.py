"""Training loops without models: batches, trainer, checkpoints, weight averaging, hyperparameter search."""

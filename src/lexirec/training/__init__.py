"""Learning: batches, the trainer, model selection."""

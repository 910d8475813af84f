"""From a request to a list: snapshots of model and catalogue, histories, compiled rules, batches, simpler models."""

"""Model families and baselines, side by side; none imports another."""

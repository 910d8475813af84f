"""Several recommenders as one: what each part puts forward, how much it counts, and the stage that chooses it."""

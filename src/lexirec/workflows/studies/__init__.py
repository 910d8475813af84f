"""Studies: one experiment in many variants and seeds, run together and summarised in one report."""

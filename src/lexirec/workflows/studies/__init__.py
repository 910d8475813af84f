"""Studies: one experiment in many variants, with seeds, run as one and told in one report."""

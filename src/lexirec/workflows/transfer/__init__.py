"""Transfer of a TS-Rec model from one catalogue to another: settings, stages, and the run that evaluates it there."""

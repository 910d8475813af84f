"""Run experiments: settings of an experiment file, its graph of stages, and the runner that executes or plans them."""

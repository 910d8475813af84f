"""Speed and memory, each against a reference path in the same run, on random weights and generated data."""

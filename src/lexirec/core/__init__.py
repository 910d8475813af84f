"""Foundations: errors, settings files, the artifact store, records of runs, progress display."""

"""Tries, beams and what else speaks in the beam; knows no model family."""

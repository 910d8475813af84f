"""Looking closer at evaluations: where systems are right, what their lists are like, what their probabilities mean.

Pure functions over lists, cases and what is known about items; `lexirec.analyzing` brings stored evaluations to them.
"""

from lexirec.analysis.beyond import MEASURES, Surroundings, beyond_accuracy
from lexirec.analysis.calibration import Calibration, Reliability, calibration, reliability
from lexirec.analysis.categories import Categories, category_field, read_categories
from lexirec.analysis.slices import (
    Slicing,
    by_category,
    by_coldness,
    by_history,
    by_memorisation,
    by_pattern,
    by_popularity,
    by_repeat,
)
from lexirec.analysis.slicing import Sliced, measure_slices
from lexirec.analysis.transitions import Transitions

__all__ = [
    "MEASURES",
    "Calibration",
    "Categories",
    "Reliability",
    "Sliced",
    "Slicing",
    "Surroundings",
    "Transitions",
    "beyond_accuracy",
    "by_category",
    "by_coldness",
    "by_history",
    "by_memorisation",
    "by_pattern",
    "by_popularity",
    "by_repeat",
    "calibration",
    "category_field",
    "measure_slices",
    "read_categories",
    "reliability",
]

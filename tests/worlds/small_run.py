"""One small finished experiment that several test modules look at; it is made once per process and never changed."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.runs import RunRecord
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import run_experiment

SETTINGS: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "data": {"kind": "toy-shop", "products": 100, "shoppers": 120},
    "vectors": {"text": {"dimensions": 16}},
    "codes": {"branching": 4, "levels": 3},
    "neighbors": {"kind": "sasrec", "k": 5, "sasrec": {"dimensions": 8, "layers": 1, "training": {"epochs": 3}}},
    "baselines": {
        "popularity": {"kind": "popularity"},
        "transitions": {"kind": "memory", "evidence": "none"},
        "memory": {"kind": "memory"},
        "sasrec": {"kind": "sasrec", "dimensions": 8, "layers": 1, "training": {"epochs": 3}},
    },
    "evaluation": {"ks": [5, 10]},
}


def experiment(**changes: Any) -> Experiment:
    """Return the small experiment with other top-level tables."""
    return validate_settings({**SETTINGS, **changes}, Experiment)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-small-")


@cache
def small_run() -> tuple[Store, RunRecord]:
    """Return the store of the small experiment and its record."""
    store = Store(Path(_folder().name))
    with quiet():
        done = run_experiment(experiment(), store)
    assert done is not None
    return store, done

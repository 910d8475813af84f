"""One small finished transfer that several test modules look at; it is made once per process and never changed."""

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
from lexirec.workflows.transfer.run import transfer
from lexirec.workflows.transfer.settings import Transfer, TransferSettings

SOURCE: dict[str, Any] = {
    "name": "crafts",
    "seed": 3,
    "data": {"kind": "toy-shop", "products": 90, "shoppers": 60},
    "vectors": {"text": {"dimensions": 12}},
    "codes": {"kind": "residual-kmeans", "levels": 2, "branching": 8},
    "lexicon": {"kind": "contrastive"},
    "backbone": {
        "kind": "causal",
        "name": "scratch:tiny",
        "d_model": 16,
        "heads": 2,
        "feed_forward": 24,
        "vocabulary_size": 300,
    },
    "neighbors": {"kind": "memory", "k": 4},
    "baselines": {"ease": {"kind": "ease"}},
    "model": {
        "kind": "causal",
        "network": {"head": "grounded", "embeddings": "grounded", "neighbor_rows": 4},
        "prompts": {"frame": "plain", "max_history": 5},
        "sa_init": {},
        "tasks": {"sid_title": 0.2, "history_title": 0, "ts_align": 1},
        "training": {"epochs": 1, "learning_rate": 5e-3, "validation_users": 20},
        "search": {"num_beams": 10},
    },
}
TARGET: dict[str, Any] = {
    "name": "gifts",
    "data": {"kind": "toy-shop", "products": 84, "shoppers": 50, "shop_seed": 1, "text": ["title"]},
    "baselines": {
        "popularity": {"kind": "popularity"},
        "transitions": {"kind": "memory", "evidence": "none"},
        "ease": {"kind": "ease"},
    },
    "evaluation": {"ks": [5, 10], "seen": ["excluded"]},
}


def wanted(*, source: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **settings: Any) -> Transfer:
    """Return the small transfer with other tables of its experiments, and settings of its own."""
    return Transfer(
        name="crafts-to-gifts",
        source=validate_settings({**SOURCE, **(source or {})}, Experiment),
        target=validate_settings({**TARGET, **(target or {})}, Experiment),
        settings=TransferSettings(**settings),
    )


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-transfer-")


@cache
def small_transfer() -> tuple[Store, RunRecord]:
    """Return the store of the small transfer, fine-tuned, and its record."""
    store = Store(Path(_folder().name))
    with quiet():
        return store, transfer(wanted(fine_tune=True), store)

"""A finished experiment over 500 shoppers of the toy shop, made once per process, and helpers to read bulk output."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import run_experiment


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-bulk-")


@cache
def toy_store() -> Store:
    """Return the store of the experiment `shop`, whose recommender is a memory."""
    values: dict[str, Any] = {
        "name": "shop",
        "data": {"kind": "toy-shop", "products": 120, "shoppers": 500},
        "baselines": {"memory": {"kind": "memory"}},
        "evaluation": {"ks": [5]},
    }
    store = Store(Path(_folder().name) / "store")
    with quiet():
        run_experiment(validate_settings(values, Experiment), store)
    return store


def lists_of(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a run's parts by user, after checking that each user is there once."""
    table: pa.Table = pq.read_table(out)
    rows = {row["user_id"]: row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return rows

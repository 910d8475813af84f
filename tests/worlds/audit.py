"""A clean little shop and what experiments make of it: the ground that leaks are planted in."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, read_data
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Split, leave_last_out
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.pipeline.experiment import Experiment
from lexirec.workflows.audit.checks import CHECKS, examine
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Audit, Finding

SETTINGS: dict[str, Any] = {"name": "planted", "data": {"kind": "toy-shop", "products": 150, "shoppers": 600}}


def experiment(**changes: Any) -> Experiment:
    return validate_settings({**SETTINGS, **changes}, Experiment)


@cache
def shop() -> tuple[Catalog, Interactions]:
    """The toy shop, read as an experiment reads it."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        toy_shop(items=150, shoppers=600).write(folder)
        settings = DataSettings(
            items=Path(folder) / "items.parquet",
            interactions=Path(folder) / "interactions.parquet",
            text=("title", "brand", "categories"),
        )
        return read_data(settings)


@cache
def clean_split() -> Split:
    return leave_last_out(shop()[1])


def evidence(**changes: Any) -> Evidence:
    """The clean shop's evidence, with what a test plants in it; `settings` are changes of the experiment."""
    catalog, interactions = shop()
    settings = changes.pop("settings", {})
    parts: dict[str, Any] = {
        "catalog": catalog,
        "split": clean_split(),
        "interactions": interactions,
        "times": interactions.times,
    }
    return Evidence(experiment=experiment(**settings), **{**parts, **changes})


def look(check: str, given: Evidence) -> list[Finding]:
    """What one check finds."""
    return list(looked(check, given).findings)


def looked(check: str, given: Evidence) -> Audit:
    with quiet():
        return examine(given, [each for each in CHECKS if each.name == check])


def with_test(split: Split, **parts: Any) -> Split:
    return replace(split, test=replace(split.test, **parts))


def added(rows: Sequences, row: int, item: int) -> Sequences:
    """The same rows with an item at the end of one."""
    lists = [rows.row(i).tolist() for i in range(len(rows))]
    lists[row].append(item)
    return Sequences.from_lists(lists)


def appended(rows: Sequences, items: np.ndarray) -> Sequences:
    """The same rows, each with one more item at its end."""
    lengths = rows.lengths + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.empty(int(offsets[-1]), dtype=np.int32)
    last = offsets[1:] - 1
    inner = np.ones(len(flat), dtype=bool)
    inner[last] = False
    flat[inner], flat[last] = rows.items, items
    return Sequences(flat, offsets)


def catalog_with(field: str, values: list[str]) -> Catalog:
    catalog = shop()[0]
    table = catalog.table
    column = pa.array(values, pa.string())
    names = table.column_names
    table = (
        table.set_column(names.index(field), field, column) if field in names else table.append_column(field, column)
    )
    fields = catalog.text_fields if field in catalog.text_fields else (*catalog.text_fields, field)
    return Catalog(table, fields, catalog.rejected)

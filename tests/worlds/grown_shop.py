"""A store with two small finished experiments, and items that they were not trained with."""

from __future__ import annotations

import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pyarrow as pa

from lexirec.core.runs import Stage, find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.extension.artifacts import Artifacts, artifacts_of
from lexirec.models.loading import load_recommender

_FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "store-2e4f166.tar.xz"
HISTORIES = Sequences.from_lists([[0, 5, 9], [40, 3], [7], [], list(range(20, 45))])


def unpack(folder: Path) -> Store:
    """Unpack the store into a folder."""
    with tarfile.open(_FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return Store(folder / "store")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-grown-")


@cache
def shop() -> Store:
    """Return a store that tests only read; its experiments are `old-gram` and `old-tsrec`."""
    return unpack(Path(_folder().name))


def stage(name: str, part: str) -> Stage:
    """Return the artifact of a recommender."""
    return recommenders(find_run(shop(), name))[part]


@cache
def trained(name: str, part: str) -> tuple[Recommender, Artifacts]:
    """Return a trained recommender and its artifacts."""
    folder = stage(name, part).folder
    return load_recommender(folder), artifacts_of(shop(), folder)


def new_rows(catalog: Catalog, items: list[int], prefix: str = "new") -> pa.Table:
    """Return rows like those of some items, with ids and titles of their own."""
    rows = catalog.table.take(pa.array(items)).to_pylist()
    for number, row in enumerate(rows):
        row["item_id"], row["title"] = f"{prefix}-{number}", f"{row['title']} kind {number}"
    return pa.Table.from_pylist(rows, catalog.table.schema)

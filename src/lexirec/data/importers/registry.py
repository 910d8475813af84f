"""Import other people's file formats into our two tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.importers.amazon import import_amazon
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.gram import import_gram
from lexirec.data.importers.public_datasets import import_movielens, import_recbole, import_yelp
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.validation import OnBadRow

FORMATS: dict[str, Callable[[Path, Conversion], Imported]] = {
    "gram": import_gram,
    "amazon-2014": partial(import_amazon, "amazon-2014"),
    "amazon-2018": partial(import_amazon, "amazon-2018"),
    "amazon-2023": partial(import_amazon, "amazon-2023"),
    "movielens": import_movielens,
    "yelp": import_yelp,
    "recbole": import_recbole,
}
"""The formats that can be imported, by name."""

_WRITTEN = ("items.parquet", "interactions.parquet")


def import_dataset(
    format: str, source: Path | str, destination: Path | str, *, on_bad_row: OnBadRow = "error"
) -> Imported:
    """Import a folder of raw files: writes `items.parquet` and `interactions.parquet` into `destination`.

    Only items with text that somebody took are kept, and only events with such items; what is left out is counted.

    Args:
        format: One of `FORMATS`.
        source: Folder with the raw files, as their publisher names them.
        destination: Folder to write into; it must not hold such tables yet.
        on_bad_row: "error" stops at the first bad row; "reject" writes bad rows to `rejects.parquet`.

    Raises:
        DataError: The format is unknown, a file is missing or a row is bad.
    """
    if format not in FORMATS:
        raise DataError(
            f"There is no format '{format}'; there are {', '.join(FORMATS)}.{did_you_mean(format, FORMATS)}"
        )
    target = Path(destination)
    if present := [name for name in _WRITTEN if (target / name).exists()]:
        raise DataError(f"{target}: the folder holds {present[0]} already; give another folder or remove the file.")
    with Workspace() as work:
        try:
            return FORMATS[format](Path(source), Conversion(work, target, on_bad_row))
        except duckdb.Error as error:
            raise DataError(f"{source}: the files cannot be imported as {format} ({one_line(error)}).") from error

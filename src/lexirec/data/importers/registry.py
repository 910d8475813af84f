"""The table of importers, and `import_dataset`, which turns other people's files into our two tables.

A new importer is a module of this package with a function `(folder, conversion) -> Imported`, and one line here (see
CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lexirec.core.errors import DataError, did_you_mean
from lexirec.core.registry import Registry

if TYPE_CHECKING:
    from lexirec.data.importers.base import Conversion, Imported
    from lexirec.data.readers.validation import OnBadRow

FORMATS: Registry[Callable[[Path, Conversion], Imported]] = Registry(
    "lexirec.data.importers",
    {
        "gram": "gram:import_gram",
        "amazon-2014": "amazon:import_amazon_2014",
        "amazon-2018": "amazon:import_amazon_2018",
        "amazon-2023": "amazon:import_amazon_2023",
        "movielens": "movielens:import_movielens",
        "yelp": "yelp:import_yelp",
        "recbole": "recbole:import_recbole",
        "mind": "mind:import_mind",
        "goodreads": "goodreads:import_goodreads",
        "steam": "steam:import_steam",
        "book-crossing": "book_crossing:import_book_crossing",
        "retailrocket": "retailrocket:import_retailrocket",
    },
)
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
    import duckdb

    from lexirec.data.importers.base import Conversion
    from lexirec.data.readers.duckdb_source import Workspace, one_line

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

"""Files of items as people have them, read for `lexirec catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.items import read_items
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.validation import Rejects


def read_rows(
    path: Path, catalog: Catalog, columns: Mapping[str, str] | None = None, *, partial: bool = False
) -> pa.Table:
    """Read a file of items.

    Args:
        path: Parquet, CSV/TSV or JSON Lines, also .gz/.zst.
        catalog: Whose items they are; its text fields are looked for.
        columns: Our names -> names in the file.
        partial: The file has only the columns that change.

    Raises:
        DataError: the file cannot be used; one line with file, row and column.
    """
    given = _names(path, catalog, columns)
    text = tuple(name for name in catalog.text_fields if name in given)
    if not text and not partial:
        raise DataError(
            f"{path} has none of the catalog's texts; give one of {', '.join(catalog.text_fields)}, or map it: "
            f"--column {catalog.text_fields[0]}=NAME"
        )
    return read_items(path, text, columns, Rejects("error"), partial=partial)


def _names(path: Path, catalog: Catalog, columns: Mapping[str, str] | None) -> set[str]:
    """Return our names of the file's columns."""
    with Workspace() as work:
        names = set(work.open(path, TextFormat()).columns)
    mapped = {ours for ours, theirs in (columns or {}).items() if theirs in names}
    return mapped | {name for name in names if name not in (columns or {}).values()}

"""User preference texts: one text per user, read from a third table (task T7 of MiniOneRec)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows


def read_preferences(
    path: Path | str,
    user_ids: NDArray[np.str_],
    *,
    columns: Mapping[str, str] | None = None,
    rejects: Rejects | None = None,
    format: TextFormat | None = None,
) -> list[str]:
    """Read one text per user from Parquet, CSV/TSV or JSON Lines (also .gz/.zst).

    The texts must have been written from training events alone; this function cannot check that.

    Args:
        path: The file, with `user_id` and `preference`; it may hold users without events.
        user_ids: The users whose texts are returned.
        columns: Our names -> names in the file.
        rejects: Collects bad rows; without it the first one is an error.
        format: How a delimited text file is written, where its name and first line do not say it.

    Returns:
        One text per user, "" for users without one.

    Raises:
        DataError: The file cannot be used, or none of its users has events; one line with file, row, column, what was
            given and what is allowed.
    """
    with Workspace() as work:
        source = work.open(path, format or TextFormat())
        user, text = (source.column(name, columns) for name in ("user_id", "preference"))
        checks = [
            MALFORMED_LINE,
            Check("empty user id", "trim(coalesce(user_id, '')) = ''", user.name, "user_id", "every text needs a user"),
            Check(
                "duplicate user id",
                f"first_row < {ROW}",
                user.name,
                "user_id",
                "users must be unique, and an earlier row has this one",
            ),
        ]
        try:
            work.run(
                f"CREATE TEMP TABLE given AS SELECT {ROW}, {unreadable_line(source)} AS unreadable,"
                f" {user.text} AS user_id, {text.text} AS preference FROM {source.scan}"
            )
            numbered = f"(SELECT *, min({ROW}) OVER (PARTITION BY user_id) AS first_row FROM given)"
            work.run(f"CREATE TEMP TABLE users AS {flag_bad_rows(numbered, checks)}")
            handle_bad_rows(work, source, "users", checks, rejects or Rejects())
            rows = work.arrow(f"SELECT user_id, preference FROM users WHERE bad IS NULL ORDER BY {ROW}")
        except duckdb.Error as error:
            raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error
    return _in_order(rows, user_ids, source.path)


def _in_order(rows: pa.Table, user_ids: NDArray[np.str_], path: Path | str) -> list[str]:
    wanted = pa.array(user_ids.tolist(), pa.string())
    positions = pc.index_in(wanted, value_set=rows.column("user_id").combine_chunks().cast(pa.string()))
    if len(user_ids) and positions.null_count == len(positions):
        first = rows.column("user_id")[0].as_py()
        near = did_you_mean(first, user_ids.tolist()) if len(user_ids) <= 100_000 else ""
        raise DataError(
            f"{path}: none of its users, such as '{first}', has an event; use the user ids of the interactions.{near}"
        )
    texts = pc.utf8_trim_whitespace(pc.fill_null(rows.column("preference").combine_chunks().cast(pa.string()), ""))
    ordered: list[str] = pc.fill_null(texts.take(positions), "").to_pylist()
    return ordered

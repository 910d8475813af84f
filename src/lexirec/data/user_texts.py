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
from lexirec.data.readers.id_spelling import IdSpelling, key_of, other_spelling
from lexirec.data.readers.sql_columns import ROW, unreadable_line
from lexirec.data.readers.text_format import TextFormat
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows


def read_preferences(
    path: Path | str,
    user_ids: NDArray[np.str_],
    *,
    columns: Mapping[str, str] | None = None,
    rejects: Rejects | None = None,
    format: TextFormat | None = None,
    match_ids: tuple[IdSpelling, ...] = (),
) -> list[str]:
    """Read one text per user from Parquet, CSV/TSV or JSON Lines (also .gz/.zst).

    The texts must have been written from training events alone; this function cannot check that.

    Args:
        path: The file, with `user_id` and `preference`; it may hold users without events.
        user_ids: The users whose texts are returned.
        columns: Our names -> names in the file.
        rejects: Collects bad rows; without it the first one is an error.
        format: How a delimited text file is written, where its name and first line do not say it.
        match_ids: Differences in spelling that ids of the two tables may have.

    Returns:
        One text per user, "" for users without one.

    Raises:
        DataError: The file cannot be used, or none of its users has events; one line with file, row, column, what was
            given and what is allowed.
    """
    format = format or TextFormat()
    with Workspace() as work:
        source = work.open(path, format)
        user, text = (source.column(name, columns) for name in ("user_id", "preference"))
        written = f"CASE WHEN NOT {missing(text.text, format.null_words)} THEN {text.text} END"
        checks = _checks(user.name, format)
        try:
            work.run(
                f"CREATE TEMP TABLE given AS SELECT {ROW}, {unreadable_line(source)} AS unreadable,"
                f" {user.text} AS user_id, {written} AS preference FROM {source.scan}"
            )
            numbered = f"(SELECT *, min({ROW}) OVER (PARTITION BY user_id) AS first_row FROM given)"
            work.run(f"CREATE TEMP TABLE users AS {flag_bad_rows(numbered, checks)}")
            handle_bad_rows(work, source, "users", checks, rejects or Rejects())
            return _in_order(work, user_ids, source.path, match_ids)
        except duckdb.Error as error:
            raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error


def _checks(user: str, format: TextFormat) -> list[Check]:
    return [
        MALFORMED_LINE,
        Check("empty user id", missing("user_id", format.null_words), user, "user_id", "every text needs a user"),
        Check(
            "duplicate user id",
            f"first_row < {ROW}",
            user,
            "user_id",
            "users must be unique, and an earlier row has this one",
        ),
    ]


def _in_order(
    work: Workspace, user_ids: NDArray[np.str_], path: Path | str, match_ids: tuple[IdSpelling, ...]
) -> list[str]:
    """Return the text of each user: that of the same id, else of the one id that differs in allowed spellings alone."""
    work.connection.register("wanted", pa.table({"id": pa.array(user_ids.tolist(), pa.string())}))
    work.run("CREATE TEMP TABLE given_texts AS SELECT user_id AS id, preference FROM users WHERE bad IS NULL")
    exact = "LEFT JOIN given_texts e ON e.id = w.id"
    if match_ids:
        key = key_of("id", match_ids)
        work.run(
            f"CREATE TEMP TABLE spelled AS SELECT {key} AS key, first(id) AS id, first(preference) AS preference"
            " FROM given_texts GROUP BY 1 HAVING count(*) = 1"
        )
        alone = f"(SELECT {key} FROM wanted GROUP BY 1 HAVING count(*) = 1)"
        exact += f" LEFT JOIN spelled s ON e.id IS NULL AND s.key = {key_of('w.id', match_ids)} AND s.key IN {alone}"
    other = ("s.id", "s.preference") if match_ids else ("NULL", "NULL")
    found = work.arrow(
        f"SELECT coalesce(e.id, {other[0]}) AS id, coalesce(e.preference, {other[1]}) AS preference FROM (SELECT id,"
        f" row_number() OVER () AS number FROM wanted) w {exact} ORDER BY number"
    )
    if len(user_ids) and found.column("id").null_count == len(user_ids):
        raise DataError(_unknown_users(work, user_ids, path, match_ids))
    texts: list[str] = pc.utf8_trim_whitespace(
        pc.fill_null(found.column("preference").combine_chunks().cast(pa.string()), "")
    ).to_pylist()
    return texts


def _unknown_users(
    work: Workspace, user_ids: NDArray[np.str_], path: Path | str, match_ids: tuple[IdSpelling, ...]
) -> str:
    first = work.rows("SELECT id FROM given_texts LIMIT 1")[0][0]
    said = f"{path}: none of its users, such as '{first}', has an event; use the user ids of the interactions."
    hint = other_spelling(work, "(SELECT id, count(*) AS n FROM given_texts GROUP BY id)", "wanted", match_ids)
    if hint:
        return f"{said.rstrip('.')}; {hint}."
    near = did_you_mean(first, user_ids.tolist()) if len(user_ids) <= 100_000 else ""
    return f"{said}{near}"

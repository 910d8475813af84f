"""The events of all users as they are in the tables today, and the users of a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.event_types import EventTypes
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, event_options
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.sql_columns import ROW, unreadable_line
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.validation import MALFORMED_LINE, Check, Rejects, flag_bad_rows, handle_bad_rows
from lexirec.data.readers.where_sql import NothingMeetsError
from lexirec.data.sequences import Sequences
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.pipeline.components import DataChoice, ToyShop

NEWEST = 200
"""Events of a user that are read as history at most, as a service does."""
_PIECE = 1 << 20


class UserEvents(NamedTuple):
    """Events of users in numbers of a recommender's items.

    Attributes:
        user_ids: Ids, each once.
        history: Items that are read, oldest first, one row per user.
        seen: Items that count as seen; None where those are the items of all events that are read.
        never: Items that are never recommended to the user; None for none.
    """

    user_ids: pa.ChunkedArray
    history: Sequences
    seen: Sequences | None = None
    never: Sequences | None = None

    def of_users(self, user_ids: pa.ChunkedArray) -> UserEvents:
        """Return the events of these users, in their order; users without events have empty rows."""
        rows = _places(user_ids, self.user_ids)
        taken = [None if each is None else _taken(each, rows) for each in (self.history, self.seen, self.never)]
        assert taken[0] is not None, "there are histories"
        return UserEvents(user_ids, taken[0], *taken[1:])


def read_user_events(choice: DataChoice, catalog: Catalog, events: Path | None = None) -> UserEvents:
    """Read the events of all users, each with its meaning (`[data.events]`), of all parts of the split.

    Events of items that the recommender does not know are passed over, as a service does.

    Args:
        choice: Settings of the tables.
        catalog: Items of the recommender.
        events: Another table of events, of the same form as the experiment's.

    Raises:
        DataError: A table cannot be used.
    """
    if isinstance(choice, ToyShop):
        with tempfile.TemporaryDirectory() as folder:
            shop = toy_shop(seed=choice.shop_seed, items=choice.products, shoppers=choice.shoppers)
            shop.write(Path(folder))
            tables = DataSettings(
                items=Path(folder) / "items.parquet",
                interactions=events or Path(folder) / "interactions.parquet",
                text=choice.text,
            )
            return _read(tables, catalog)
    return _read(choice if events is None else choice.model_copy(update={"interactions": events}), catalog)


def _read(settings: DataSettings, catalog: Catalog) -> UserEvents:
    reader, types = _Reader(settings, catalog), settings.events or EventTypes()
    read = reader.read(types.condition)
    seen = reader.read(types.seen_condition) if types.seen_apart and types.seen_condition else None
    never = reader.read(types.never_condition) if types.never_condition else None
    tables = [each for each in (read, seen, never) if each is not None]
    if not tables:
        raise DataError(
            f"{settings.interactions}: no event is read, seen or forbids; check [data.events] and [data] where"
        )
    user_ids = pc.unique(pa.chunked_array([chunk for each in tables for chunk in each[0].chunks], pa.string()))
    users = pa.chunked_array([user_ids])
    rows = [None if each is None else _taken(each[1], _places(users, each[0])) for each in (read, seen, never)]
    history, seen_rows, never_rows = rows
    if types.seen_apart and seen_rows is None:  # nothing counts as seen
        seen_rows = _nothing(len(users))
    return UserEvents(users, _nothing(len(users)) if history is None else history, seen_rows, never_rows)


class _Reader:
    """Reads events that meet a condition, of the recommender's items."""

    def __init__(self, settings: DataSettings, catalog: Catalog) -> None:
        self._settings, self._n_items = settings, len(catalog)
        ids = catalog.table.column("item_id")
        if settings.items.is_file():  # the recommender may know fewer items (k-core) or more (published later)
            others = Catalog.read(
                settings.items,
                text=settings.text,
                columns=settings.item_columns,
                rejects=Rejects(settings.on_bad_row),
                format=settings.formats.items,
            )
            unknown = others.table.column("item_id").filter(pa.array(catalog.find(others.table.column("item_id")) < 0))
            ids = pa.chunked_array([*ids.cast(pa.string()).chunks, *unknown.cast(pa.string()).chunks], pa.string())
        self._items = Catalog(pa.table({"item_id": ids}), ())

    def read(self, condition: str | None) -> tuple[pa.ChunkedArray, Sequences] | None:
        """Return users and their items; None where no event meets the condition."""
        settings, where = self._settings, self._settings.where
        both = condition if where is None else where if condition is None else f"({where}) and {condition}"
        options = event_options(settings)
        options = type(options)(**{**vars(options), "where": both})
        try:
            found = Interactions.read(
                settings.interactions,
                self._items,
                columns={**settings.interaction_columns, "split": ""},
                rejects=Rejects(settings.on_bad_row),
                options=options,
            )
        except NothingMeetsError:
            return None
        if settings.drop_repeats:
            found = found.without_repeats()
        return as_texts(found.user_ids), found.sequences.where(found.sequences.items < self._n_items)


def as_texts(ids: NDArray[np.str_]) -> pa.ChunkedArray:
    """Return ids as an Arrow column, in pieces, as one piece holds 2 GiB of text at most."""
    pieces = [pa.array(ids[first : first + _PIECE].tolist(), pa.string()) for first in range(0, len(ids), _PIECE)]
    return pa.chunked_array(pieces, pa.string())


def _nothing(rows: int) -> Sequences:
    return Sequences(np.empty(0, dtype=np.int32), np.zeros(rows + 1, dtype=np.int64))


def _places(wanted: pa.ChunkedArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the row of each wanted id, −1 for those that are not there: int64."""
    found = pc.fill_null(pc.index_in(wanted, value_set=among.combine_chunks()), -1)
    return np.asarray(found).astype(np.int64)


def _taken(sequences: Sequences, rows: NDArray[np.int64]) -> Sequences:
    """Return rows, empty ones for −1."""
    there, at = rows >= 0, np.maximum(rows, 0)
    if not len(sequences):
        return _nothing(len(rows))
    return sequences.windows(sequences.offsets[:-1][at], np.where(there, sequences.lengths[at], 0))


def read_user_ids(path: Path, columns: Mapping[str, str] | None = None) -> pa.ChunkedArray:
    """Read the column `user_id` of a file: Parquet, CSV/TSV or JSON Lines, also .gz/.zst.

    Args:
        path: The file.
        columns: Our name of the column -> its name in the file.

    Raises:
        DataError: The file cannot be used, or an id is empty or there twice; one line.
    """
    with Workspace() as work:
        source = work.open(path)
        renamed = {} if "user_id" in source.columns else columns
        user = source.column("user_id", renamed)
        checks = [
            MALFORMED_LINE,
            Check("empty user id", missing("user_id", ()), user.name, "user_id", "every row needs a user"),
            Check("duplicate user id", f"first_row < {ROW}", user.name, "user_id", "each user is listed once"),
        ]
        try:
            work.run(
                f"CREATE TEMP TABLE given AS SELECT {ROW}, {unreadable_line(source)} AS unreadable,"
                f" {user.text} AS user_id FROM {source.scan}"
            )
            numbered = f"(SELECT *, min({ROW}) OVER (PARTITION BY user_id) AS first_row FROM given)"
            work.run(f"CREATE TEMP TABLE users AS {flag_bad_rows(numbered, checks)}")
            handle_bad_rows(work, source, "users", checks, Rejects())
            found = work.arrow(f"SELECT user_id FROM users ORDER BY {ROW}").column("user_id").cast(pa.string())
        except duckdb.Error as error:
            raise DataError(f"{source.path}: the file cannot be read ({one_line(error)}).") from error
    return found

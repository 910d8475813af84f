"""Times of events from the table of interactions, also where the experiment does not use them or some are unknown."""

from __future__ import annotations

import logging
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.events import PER_SECOND
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings
from lexirec.data.readers.columns import ROW, Source
from lexirec.data.readers.duckdb_source import Workspace

_NAMES = ("time", "timestamp", "unixReviewTime", "unix_time", "ts", "date", "datetime", "created_at")
_EARLIEST, _LATEST = 631_152_000.0, 4_102_444_800.0  # 1990 and 2100: whatever lies outside counts something else
_log = logging.getLogger(__name__)


def read_times(settings: DataSettings, catalog: Catalog, interactions: Interactions) -> NDArray[np.float64] | None:
    """Find a column of times, mapped or not, and lay it beside the events.

    Events are matched by user and item; of several with the same, in their order.

    Returns:
        float64 (N,), seconds since 1970 beside `interactions.sequences.items`, NaN where unknown; None where there is
        no such column, or its numbers are no moments.
    """
    with Workspace() as work:
        source = work.open(settings.interactions)
        wanted = dict(settings.interaction_columns)
        given = [name for name in (wanted.get("time"), *_NAMES) if name and name in source.columns]
        if not given:
            return None
        try:
            table = _table(work, source, wanted, given[0], settings)
        except (duckdb.Error, DataError) as error:
            _log.info("the column %s holds no times (%s)", given[0], error)
            return None
    return _beside(interactions, catalog, table)


def _table(work: Workspace, source: Source, wanted: dict[str, str], time: str, settings: DataSettings) -> pa.Table:
    """Read user, item and seconds of every row, in the order in which the events of a user stand."""
    columns = {name: source.column(name, wanted) for name in ("user_id", "item_id")}
    moment = source.column("time", {**wanted, "time": time}).number(PER_SECOND[settings.time_unit])
    place = wanted.get("position", "position" if "position" in source.columns else "")
    order = f"{source.column('position', wanted).number(1)}, {ROW}" if place else ROW
    query = (
        f"SELECT {columns['user_id'].text} AS user_id, {columns['item_id'].text} AS item_id, CAST({moment} AS DOUBLE) "
        f"AS seconds FROM {source.scan} ORDER BY {order}"
    )
    return pa.Table.from_batches(list(work.batches(query)))


def _beside(interactions: Interactions, catalog: Catalog, table: pa.Table) -> NDArray[np.float64] | None:
    n_items, sequences = len(catalog), interactions.sequences
    users = pc.index_in(table["user_id"], value_set=pa.array(interactions.user_ids, pa.string())).fill_null(-1)
    items = catalog.find(table["item_id"].combine_chunks())
    seconds = table["seconds"].fill_null(float("nan")).to_numpy()
    seconds = np.where((seconds >= _EARLIEST) & (seconds <= _LATEST), seconds, np.nan)
    if not np.isfinite(seconds).any():
        return None
    given = np.where((users.to_numpy() >= 0) & (items >= 0), users.to_numpy().astype(np.int64) * n_items + items, -1)
    wanted = np.repeat(np.arange(len(sequences), dtype=np.int64), sequences.lengths) * n_items + sequences.items
    here, there = _numbered(wanted), _numbered(given)
    order = np.lexsort((there, given))
    found = np.full(len(wanted), np.nan)
    at = _search(given[order], there[order], wanted, here)
    found[at >= 0] = seconds[order[at[at >= 0]]]
    return found


def _numbered(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number equal keys in their order: 0 for the first of each, 1 for the second …"""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else np.zeros(0, int)
    number = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    found = np.empty(len(keys), dtype=np.int64)
    found[order] = number
    return found


def _search(
    keys: NDArray[np.int64], numbers: NDArray[np.int64], wanted: NDArray[np.int64], which: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the place of each wanted (key, number) among sorted ones, −1 where there is none."""
    at = np.searchsorted(keys, wanted) + which  # equal keys stand side by side, numbered from 0
    safe = np.minimum(at, max(len(keys) - 1, 0))
    return np.where((at < len(keys)) & (keys[safe] == wanted) & (numbers[safe] == which), at, -1)

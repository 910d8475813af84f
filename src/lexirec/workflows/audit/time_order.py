"""Audit checks of time: training on later events of a user or of others, and ties in time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, event_options
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.id_spelling import key_of
from lexirec.data.readers.list_rows import one_row_per_event
from lexirec.data.readers.sql_columns import ROW, Source
from lexirec.data.readers.times import read_times as read_column
from lexirec.data.readers.where_sql import select
from lexirec.data.splits import TEST, TRAIN
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent

_MANY_TIES = 0.05


def own_future(evidence: Evidence) -> Iterator[Finding]:
    """Find test events followed by training events of the same user, in the order of the sequences."""
    labels, users = evidence.labels, evidence.event_users
    places = np.arange(len(labels))
    newest = np.full(len(evidence.need("interactions")), -1, dtype=np.int64)
    trained = labels == TRAIN
    newest[users[trained]] = places[trained]  # ascending, so the last one is kept
    tests = np.flatnonzero(labels == TEST)
    hit = tests[newest[users[tests]] > tests]
    if len(hit):
        share, items = len(hit) / len(tests), evidence.need("interactions").sequences.items
        later = int((trained & (places > _first_test(users, tests, len(newest))[users])).sum())
        yield Finding(
            "leak",
            f"{later:,} training events come after a test event of the same user; {len(hit):,} of {len(tests):,} test "
            f"events ({percent(share)}) have later training events",
            f"up, by up to {share:.3f} of recall: later events reveal earlier ones",
            "hold a user's later events out, too, or drop them",
            share,
            tuple(f"user {evidence.user(users[place])}, target {evidence.item(items[place])}" for place in hit[:3]),
        )


def _first_test(users: np.ndarray, tests: np.ndarray, n_users: int) -> np.ndarray:
    first = np.full(n_users, len(users), dtype=np.int64)
    first[users[tests][::-1]] = tests[::-1]
    return first


def everybodys_future(evidence: Evidence) -> Iterator[Finding]:
    """Count training events later than test events, of any user."""
    labels, times = evidence.labels, evidence.need("times")
    known = np.isfinite(times)
    trained, tests = np.sort(times[known & (labels == TRAIN)]), times[known & (labels == TEST)]
    if not len(trained) or not len(tests):
        raise NotLookedError("no training or no test event has a time")
    of = f" (times are known of {percent(known.mean())} of the events)" if not known.all() else ""
    if evidence.one_test_event_at_the_end:
        later = 1 - np.searchsorted(trained, tests, side="right") / len(trained)
        some = float((later > 0).mean())
        if some:
            yield Finding(
                "note",
                f"leave-one-out trains on later events of other users: {percent(float(later.mean()))} of the "
                f"training events are later than the test event on average, and {percent(some)} of the test events "
                f"have some{of}",
                "up compared with production, for models that learn from other users; equal for all systems",
                "state it with the figures; a global-temporal split measures performance in production",
                some,
            )
        return
    cut, after = tests.min(), trained[trained > tests.min()]
    if len(after):
        yield _later_than_the_cut(evidence, cut, len(after), len(trained), of)


def _later_than_the_cut(evidence: Evidence, cut: float, after: int, trained: int, of: str) -> Finding:
    """Return the finding on training events in the test period of a split by time, with or without successions."""
    sequences, labels, times = evidence.need("interactions").sequences, evidence.labels, evidence.need("times")
    starts = np.zeros(len(labels), dtype=bool)
    starts[sequences.offsets[:-1][sequences.lengths > 0]] = True
    late = np.flatnonzero((labels == TRAIN) & (times > cut))
    following = int((~starts[late]).sum())
    known = _known_from_later(evidence, cut)
    counted = (
        f"; {following:,} of them follow another event"
        if following
        else "; all are their users' first events, without successions"
    )
    return Finding(
        "leak" if following else "distortion",
        f"the split is by time, but {after:,} of {trained:,} training events ({percent(after / trained)}) are "
        f"later than the first test event ({_day(cut)}), the last of them at {_day(times[late].max())}{counted}{of}",
        f"up: popularity {'and successions ' if following else ''}of the test period is learned; {percent(known)} of "
        "the test cases have a transition known from those events alone",
        "drop training events from the first test event on",
        known,
        tuple(
            f"user {evidence.user(evidence.event_users[at])}, item {evidence.item(sequences.items[at])}"
            for at in late[:3]
        ),
    )


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _known_from_later(evidence: Evidence, cut: float) -> float:
    """Share of test cases whose succession (last item, target) occurs in training only from `cut` on."""
    sequences, labels, times = evidence.need("interactions").sequences, evidence.labels, evidence.need("times")
    users, cases = evidence.event_users, evidence.split.test
    pair = (users[1:] == users[:-1]) & (labels[1:] == TRAIN) & (labels[:-1] == TRAIN)
    keys = sequences.items[:-1].astype(np.int64) * evidence.n_items + sequences.items[1:]
    late = ~(times[1:] <= cut) & np.isfinite(times[1:])
    only_late = np.setdiff1d(keys[pair & late], keys[pair & ~late])
    lengths = cases.histories.lengths
    last = cases.histories.items[np.maximum(cases.histories.offsets[1:] - 1, 0)] if len(cases.histories.items) else 0
    asked = np.where(lengths > 0, last * np.int64(evidence.n_items) + cases.targets, -1)
    return float(np.isin(asked, only_late).mean())


def ties_in_time(evidence: Evidence) -> Iterator[Finding]:
    """Count test events with the same time as another event of the user, and events out of order."""
    labels, times, users = evidence.labels, evidence.need("times"), evidence.event_users
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    tied = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    tests = (labels == TEST) & np.isfinite(times)
    share = float(tied[tests].mean()) if tests.any() else 0.0
    if share:
        order = str(evidence.split.protocol.get("order", "file order"))
        order = order if order.startswith("by ") else f"by {order}"
        yield Finding(
            "distortion" if share >= _MANY_TIES else "note",
            f"{int(tied[tests].sum()):,} of {int(tests.sum()):,} test events ({percent(share)}) have the same time as "
            f"another event of their user",
            f"either way: ties are broken {order}; another order gives another test set, and papers that broke ties "
            "differently have other cases",
            "state how ties are broken (the protocol card does), and compare only systems evaluated on the same cases",
            share,
        )
    backwards = (users[1:] == users[:-1]) & (times[1:] < times[:-1])
    if backwards.any():
        at = np.flatnonzero(backwards)
        yield Finding(
            "distortion",
            f"{len(at):,} events come after later ones of the same user: the sequences are not ordered by time",
            "either way: histories hold events after the target",
            'map the column of times, for example interaction_columns = {time = "timestamp"}',
            None,
            tuple(f"user {evidence.user(users[place])}" for place in at[:3]),
        )


# ------------------------------------------------------------------------------- event times of the table

_NAMES = ("time", "timestamp", "unixReviewTime", "unix_time", "ts", "date", "datetime", "created_at")
_EARLIEST, _LATEST = 631_152_000.0, 4_102_444_800.0  # 1990 and 2100: numbers outside are no times
_log = logging.getLogger(__name__)


def read_times(settings: DataSettings, catalog: Catalog, interactions: Interactions) -> NDArray[np.float64] | None:
    """Read event times from the table of interactions, also if the experiment does not map the column.

    Events are matched by user and item, repeated ones in their order.

    Returns:
        float64 (N,), seconds since 1970 beside `interactions.sequences.items`, NaN where unknown; None without such a
        column, or if its values are no times.
    """
    with Workspace() as work:
        source = work.open(settings.interactions, settings.formats.interactions)
        wanted = dict(settings.interaction_columns)
        candidates = [name for name in (wanted.get("time"), *_NAMES) if name and name in source.columns]
        if not candidates:
            return None
        try:
            table = _table(work, source, wanted, candidates[0], settings, catalog)
        except (duckdb.Error, DataError) as error:
            _log.info("the column %s holds no times (%s)", candidates[0], error)
            return None
    return _beside(interactions, catalog, table)


def _table(
    work: Workspace, source: Source, wanted: dict[str, str], time: str, settings: DataSettings, catalog: Catalog
) -> pa.Table:
    """Read user, item and seconds of every row, in the order of each user's events."""
    options = event_options(settings)
    work.connection.register("catalog_ids", pa.table({"id": catalog.table.column("item_id")}))
    source = one_row_per_event(work, source, source.column("item_id", wanted), "catalog_ids") or source
    user, item = source.column("user_id", wanted), source.column("item_id", wanted)
    column = source.column("time", {**wanted, "time": time})
    reading = read_column(work, source, column, options.times)
    where = "true"
    if options.where is not None:
        mapped = (column.name, reading) if wanted.get("time", "time") == column.name else None
        where = select(work, source, options.where, options.format.null_words, options.times, mapped).sql
    place = wanted.get("position", "position" if "position" in source.columns else "")
    order = f"{source.column('position', wanted).number()}, {ROW}" if place else ROW
    key = key_of("item_id", options.match_ids)
    query = (
        f"WITH known AS (SELECT id, {key_of('id', options.match_ids)} AS key FROM catalog_ids),"
        f" given AS (SELECT {user.text} AS user_id, {item.text} AS item_id, CAST({reading.sql} AS DOUBLE) AS seconds,"
        f" row_number() OVER (ORDER BY {order}) AS place FROM {source.scan} WHERE {where})"
        f" SELECT user_id, coalesce(id, item_id) AS item_id, seconds FROM given LEFT JOIN known ON {key} = key"
        " ORDER BY place"
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
    there_keys = np.where(
        (users.to_numpy() >= 0) & (items >= 0), users.to_numpy().astype(np.int64) * n_items + items, -1
    )
    wanted = np.repeat(np.arange(len(sequences), dtype=np.int64), sequences.lengths) * n_items + sequences.items
    here, there = _numbered(wanted), _numbered(there_keys)
    order = np.lexsort((there, there_keys))
    result = np.full(len(wanted), np.nan)
    at = _search(there_keys[order], there[order], wanted, here)
    result[at >= 0] = seconds[order[at[at >= 0]]]
    return result


def _numbered(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number equal keys in their order: 0 for the first of each, 1 for the second …"""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else np.zeros(0, int)
    number = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = number
    return numbers


def _search(
    keys: NDArray[np.int64], numbers: NDArray[np.int64], wanted: NDArray[np.int64], which: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the index of each wanted (key, number) among sorted ones, −1 for none."""
    at = np.searchsorted(keys, wanted) + which  # equal keys are adjacent, numbered from 0
    safe = np.minimum(at, max(len(keys) - 1, 0))
    return np.where((at < len(keys)) & (keys[safe] == wanted) & (numbers[safe] == which), at, -1)

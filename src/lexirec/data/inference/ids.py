"""Inference of item ids: which column of the events holds ids of which column of the items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lexirec.core.errors import DataError
from lexirec.data.inference.column_names import ENOUGH, MOSTLY, SAMPLE, called, names
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.id_spelling import (
    SPELLINGS,
    IdSpelling,
    check_distinct,
    in_words,
    key_of,
    likely_spellings,
    setting_of,
)
from lexirec.data.readers.list_rows import one_row_per_event
from lexirec.data.readers.sql_columns import Column, Source
from lexirec.data.readers.text_values import missing

ITEM_NAMES = names(
    "item_id item parent_asin asin product_id product sku article_id article movie_id movie book_id isbn business_id"
    " gmap_id track_id song_id video_id game_id app_id app_name news_id recipe_id stock_code id"
)

_WORTH = 0.01
"""Share of the events whose ids another spelling must explain for it to be allowed."""


@dataclass(frozen=True)
class ItemIds:
    """The columns of item ids of two tables.

    Attributes:
        items: The column of the items.
        events: The column of the events.
        known: Share of the events (of a sample) whose item is in the table of items.
        match_ids: Differences in spelling between the two.
        remarks: Notes for the user on them, a sentence each.
    """

    items: Column
    events: Column
    known: float
    match_ids: tuple[IdSpelling, ...] = ()
    remarks: tuple[str, ...] = ()


def item_columns(work: Workspace, items: Source, events: Source) -> ItemIds:
    """Find the items' id column and the events' column that holds such ids, if need be in another spelling.

    Raises:
        DataError: There is no such pair of columns.
    """
    named = [column for column in called(items, ITEM_NAMES) if not column.is_list]
    bought = [column for column in called(events, ITEM_NAMES) if not column.is_list]
    same = [column for name, column in events.columns.items() if name in {each.name for each in named}]
    single = [column for column in items.columns.values() if not column.is_list]
    others = [column for column in events.columns.values() if not column.is_list]
    likely: _Pair | None = None
    for spellings in ((), SPELLINGS):
        for mine, theirs in ((named, [*bought, *same]), (single, others)):  # where names do not decide, every pair
            found = _best_pair(work, items, events, (mine, theirs), spellings)
            likely = max(filter(None, (likely, found)), key=lambda pair: pair[2], default=None)
            if likely is not None and likely[2] >= ENOUGH:
                return _spelled(work, items, events, likely)
    if likely is None or not likely[2]:
        raise DataError(
            f"{events.path}: no column holds ids of {items.path} (columns of the events: {events.column_names}; of the"
            f" items: {items.column_names}); write [data] with item_columns and interaction_columns by hand"
        )
    return _spelled(work, items, events, likely)


def event_rows(work: Workspace, items: Source, events: Source) -> tuple[Source, ItemIds]:
    """Find the columns of item ids as `item_columns` does, also where each row of the events holds a list of items.

    Returns:
        The events with a row for each, and the columns.
    """
    try:
        found = item_columns(work, items, events)
        if found.known >= ENOUGH:
            return events, found
    except DataError:
        found = None
    for laid, name in _laid_out(work, items, events):
        ids = item_columns(work, items, laid)
        if ids.events.name == name and ids.known >= ENOUGH:
            remark = f"column '{name}' of the events holds lists of items; each entry is an event"
            return laid, replace(ids, remarks=(remark, *ids.remarks))
    return events, found if found is not None else item_columns(work, items, events)


def _laid_out(work: Workspace, items: Source, events: Source) -> Iterator[tuple[Source, str]]:
    """Yield the events with a row for each entry of a column of lists, for each column that may hold some."""
    named = [column for column in called(items, ITEM_NAMES) if not column.is_list]
    others = [column for column in items.columns.values() if not column.is_list and column not in named]
    for item in (each for each in (*named, *others) if _is_key(work, items, each)):
        work.run(f"CREATE OR REPLACE TEMP TABLE lexirec_ids AS SELECT DISTINCT {item.text} AS id FROM {items.scan}")
        for column in events.columns.values():
            if column.is_number or column.type.startswith(("DATE", "TIME", "BOOLEAN")) or "STRUCT" in column.type:
                continue
            laid = one_row_per_event(work, events, column, "lexirec_ids")
            if laid is not None:
                yield laid, column.name


_Pair = tuple[Column, Column, float]


def _best_pair(
    work: Workspace,
    items: Source,
    events: Source,
    pairs: tuple[Sequence[Column], Sequence[Column]],
    spellings: tuple[IdSpelling, ...],
) -> _Pair | None:
    """Return the pair of columns with the largest share of the events' values among the items' ids, and the share.

    A column of the items counts only where its filled values are (nearly) all distinct.
    """
    mine, theirs = pairs
    if not theirs:
        return None
    best: _Pair | None = None
    for item in (each for each in mine if _is_key(work, items, each)):
        shares = ", ".join(f"avg(CASE WHEN c{n} IN (FROM ids) THEN 1.0 ELSE 0.0 END)" for n in range(len(theirs)))
        columns = ", ".join(f"{key_of(column.text, spellings)} AS c{n}" for n, column in enumerate(theirs))
        (row,) = work.rows(  # both tables are read once, however many columns they have
            f"WITH ids AS MATERIALIZED (SELECT DISTINCT {key_of(item.text, spellings)} FROM {items.scan})"
            f" SELECT {shares} FROM (SELECT {columns} FROM {events.scan} LIMIT {SAMPLE})"
        )
        for column, share in zip(theirs, row, strict=True):
            if share is not None and (best is None or share > best[2]):
                best = item, column, float(share)
    return best


def _spelled(work: Workspace, items: Source, events: Source, pair: _Pair) -> ItemIds:
    """Return a pair of columns with the differences in spelling that explain ids of the events that are unknown."""
    item, bought, _ = pair
    work.run(f"CREATE OR REPLACE TEMP TABLE item_ids AS SELECT DISTINCT {item.text} AS id FROM {items.scan}")
    work.run(
        f"CREATE OR REPLACE TEMP TABLE event_ids AS SELECT id, count(*) AS n FROM (SELECT {bought.text} AS id"
        f" FROM {events.scan} LIMIT {SAMPLE}) WHERE NOT {missing('id')} GROUP BY id"
    )
    unknown = "(SELECT id, n FROM event_ids WHERE id NOT IN (SELECT id FROM item_ids WHERE id IS NOT NULL))"
    ((total, n_unknown),) = work.rows(f"SELECT sum(n), (SELECT coalesce(sum(n), 0) FROM {unknown}) FROM event_ids")
    known = 1 - n_unknown / total if total else 0.0
    if not n_unknown:
        return ItemIds(item, bought, known)
    spellings, count, (given, meant) = likely_spellings(work, unknown, "item_ids")
    if count < _WORTH * total:
        return ItemIds(item, bought, known)
    said = (
        f"{count / total:.0%} of the events have item ids that agree with those of the items but for"
        f" {in_words(spellings)}, such as '{given}' and '{meant}'"
    )
    try:
        check_distinct(work, "item_ids", spellings, str(items.path))
    except DataError as error:
        return ItemIds(item, bought, known, (), (f"{said}, but {str(error).rstrip('.')}",))
    return ItemIds(item, bought, known + count / total, spellings, (f"{said}; {setting_of(spellings)} matches them",))


def _is_key(work: Workspace, items: Source, column: Column) -> bool:
    """Return whether the filled values of a column are (nearly) all distinct."""
    value = f"nullif(trim({column.text}), '')"
    ((filled, distinct),) = work.rows(f"SELECT count({value}), count(DISTINCT {value}) FROM {items.scan}")
    return bool(distinct >= MOSTLY * filled)

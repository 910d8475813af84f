"""Inference of item ids: which column of the events holds ids of which column of the items."""

from __future__ import annotations

from collections.abc import Sequence

from lexirec.core.errors import DataError
from lexirec.data.column_names import ENOUGH, MOSTLY, SAMPLE, called, names
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import Column, Source

ITEM_NAMES = names(
    "item_id item parent_asin asin product_id product sku article_id article movie_id movie book_id isbn business_id"
    " gmap_id track_id song_id video_id game_id app_id app_name news_id recipe_id stock_code id"
)


def item_columns(work: Workspace, items: Source, events: Source) -> tuple[Column, Column, float]:
    """Return the items' id column, the events' column that holds such ids, and the share of events it explains."""
    named = [column for column in called(items, ITEM_NAMES) if not column.is_list]
    bought = [column for column in called(events, ITEM_NAMES) if not column.is_list]
    same = [column for name, column in events.columns.items() if name in {each.name for each in named}]
    likely = _best_pair(work, items, events, named, [*bought, *same])
    if likely is None or likely[2] < ENOUGH:  # names do not decide: try every pair of columns
        single = [column for column in items.columns.values() if not column.is_list]
        others = [column for column in events.columns.values() if not column.is_list]
        by_values = _best_pair(work, items, events, single, others)
        likely = max(filter(None, (likely, by_values)), key=lambda pair: pair[2], default=None)
    if likely is None or not likely[2]:
        raise DataError(
            f"{events.path}: no column holds ids of {items.path} (columns of the events: {events.column_names}; of the"
            f" items: {items.column_names}); write [data] with item_columns and interaction_columns by hand"
        )
    return likely


def _best_pair(
    work: Workspace, items: Source, events: Source, mine: Sequence[Column], theirs: Sequence[Column]
) -> tuple[Column, Column, float] | None:
    """Return the pair of columns with the largest share of the events' values among the items' ids, and the share.

    A column of the items counts only where its filled values are (nearly) all distinct.
    """
    if not theirs:
        return None
    best: tuple[Column, Column, float] | None = None
    for item in (each for each in mine if _is_key(work, items, each)):
        shares = ", ".join(f"avg(CASE WHEN c{n} IN (FROM ids) THEN 1.0 ELSE 0.0 END)" for n in range(len(theirs)))
        columns = ", ".join(f"{column.text} AS c{n}" for n, column in enumerate(theirs))
        (row,) = work.rows(  # both tables are read once, however many columns they have
            f"WITH ids AS MATERIALIZED (SELECT DISTINCT {item.text} FROM {items.scan})"
            f" SELECT {shares} FROM (SELECT {columns} FROM {events.scan} LIMIT {SAMPLE})"
        )
        for column, share in zip(theirs, row, strict=True):
            if share is not None and (best is None or share > best[2]):
                best = item, column, float(share)
    return best


def _is_key(work: Workspace, items: Source, column: Column) -> bool:
    """Return whether the filled values of a column are (nearly) all distinct."""
    value = f"nullif(trim({column.text}), '')"
    ((filled, distinct),) = work.rows(f"SELECT count({value}), count(DISTINCT {value}) FROM {items.scan}")
    return bool(distinct >= MOSTLY * filled)

"""Schema inference: which columns of two tables are item ids, user ids, times, texts and split labels.

Names are compared without case and punctuation (`movieId`, `movie_id`). Where names do not decide, values do: the item
column of the events is the one whose values are ids of the items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.events import EARLIEST, PER_SECOND, SPLIT_LABELS, TimeUnit
from lexirec.data.readers.sql_columns import Column, Source


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ITEM = _names(
    "item_id item parent_asin asin product_id product sku article_id article movie_id movie book_id isbn business_id"
    " gmap_id track_id song_id video_id game_id app_id app_name news_id recipe_id stock_code id"
)
_USER = _names(
    "user_id user reviewer_id customer_id customer uid member_id member visitor_id account_id author_id person_id"
    " client_id username login session_id"
)
_TIME = _names(
    "time timestamp unix_review_time unix_time ts datetime date t_dat event_time created_at invoice_date review_time"
)
_POSITION = _names("position rank order step sequence seq index")
_SPLIT = _names("split fold part")
_TEXT = {
    "title": _names("title name product_name item_name prod_name product_title product_display_name headline"),
    "brand": _names("brand store manufacturer author authors artist artist_name developer publisher maker"),
    "categories": _names(
        "categories category genres genre product_type_name product_type product_group_name department tags"
    ),
    "description": _names("description desc detail_desc about summary features overview abstract text content"),
}
"""Our name of a text field -> common names of it, likeliest first; texts present the fields in this order."""

_ENOUGH = 0.5
"""Share of the events whose item must be known for a pair of columns to count as item ids; of texts that must have
words."""
_MOSTLY = 0.98
"""Share of the events that must have a time for it to order them; of the ids of items that must be distinct."""
_SAMPLE = 20_000
"""Rows that shares are measured on."""


@dataclass(frozen=True)
class Guess:
    """Inferred columns of a table of items and a table of events.

    Attributes:
        text: Our names of the text fields, in the order in which texts present them.
        item_columns: Our names -> the items' columns, where they differ.
        interaction_columns: Our names -> the events' columns, where they differ; "" for a column that has one of our
            names but holds something else.
        time_unit: Unit of the times.
        order: What orders a user's events: "time", "position" or "" for the order of the file.
        published_split: Whether a column labels events as training, validation and test.
        known: Share of the events (of a sample) whose item is in the table of items.
        remarks: Notes for the user, one sentence each.
    """

    text: tuple[str, ...]
    item_columns: dict[str, str]
    interaction_columns: dict[str, str]
    time_unit: TimeUnit
    order: str
    published_split: bool
    known: float
    remarks: tuple[str, ...]


def guess_tables(items: Path | str, interactions: Path | str) -> Guess:
    """Infer the columns of a table of items and a table of events.

    Raises:
        DataError: a file cannot be read, or has no column of item ids, user ids or texts; one line.
    """
    with Workspace() as work:
        sources = work.open(items), work.open(interactions)
        try:
            return _guess(work, *sources)
        except duckdb.Error as error:
            raise DataError(f"{items}, {interactions}: a file cannot be read ({one_line(error)}).") from error


def _guess(work: Workspace, items: Source, events: Source) -> Guess:
    item, bought, known = _item_columns(work, items, events)
    user = _user_column(work, events, bought)
    text = _text_columns(work, items, item)
    interaction_columns = {"user_id": user.name, "item_id": bought.name}
    remarks: list[str] = []
    order: str = ""
    unit: TimeUnit = "s"
    time = _first(events, _TIME, besides=(user, bought))
    if time is not None:
        order, unit = _order_of(work, events, time, remarks)
        if order:
            interaction_columns[order] = time.name
    if not order and (position := _first(events, _POSITION, besides=(user, bought))) is not None:
        order = "position"
        interaction_columns["position"] = position.name
    split = _first(events, _SPLIT, besides=(user, bought))
    published = split is not None and _is_split(work, events, split)
    if split is not None and published:
        interaction_columns["split"] = split.name
    for role in ("time", "position", "split"):  # a column of that name with other content must be ignored explicitly
        if role in events.columns and role not in interaction_columns and (role != "position" or order != "time"):
            interaction_columns[role] = ""
    if not order:
        remarks.append("no column has the times of events, so they are taken in the order of the file")
    return Guess(
        tuple(text),
        {ours: column.name for ours, column in {"item_id": item, **text}.items() if ours != column.name},
        {ours: name for ours, name in interaction_columns.items() if ours != name},
        unit,
        order,
        published,
        known,
        tuple(remarks),
    )


# ----------------------------------------------------------------------------------------------------------- columns


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _called(source: Source, names: Sequence[str], besides: Sequence[Column] = ()) -> Iterator[Column]:
    """Yield the columns with one of these names, likeliest first, except those of `besides`."""
    plain = {_plain(name): column for name, column in reversed(source.columns.items())}
    used = {column.name for column in besides}
    yield from (plain[_plain(name)] for name in names if _plain(name) in plain and plain[_plain(name)].name not in used)


def _first(source: Source, names: Sequence[str], besides: Sequence[Column] = ()) -> Column | None:
    return next((column for column in _called(source, names, besides) if not column.is_list), None)


def _item_columns(work: Workspace, items: Source, events: Source) -> tuple[Column, Column, float]:
    """Return the items' id column, the events' column that holds such ids, and the share of events it explains."""
    named = [column for column in _called(items, _ITEM) if not column.is_list]
    bought = [column for column in _called(events, _ITEM) if not column.is_list]
    same = [column for name, column in events.columns.items() if name in {each.name for each in named}]
    likely = _best_pair(work, items, events, named, [*bought, *same])
    if likely is None or likely[2] < _ENOUGH:  # names do not decide: try every pair of columns
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
            f" SELECT {shares} FROM (SELECT {columns} FROM {events.scan} LIMIT {_SAMPLE})"
        )
        for column, share in zip(theirs, row, strict=True):
            if share is not None and (best is None or share > best[2]):
                best = item, column, float(share)
    return best


def _is_key(work: Workspace, items: Source, column: Column) -> bool:
    """Return whether the filled values of a column are (nearly) all distinct."""
    value = f"nullif(trim({column.text}), '')"
    ((filled, distinct),) = work.rows(f"SELECT count({value}), count(DISTINCT {value}) FROM {items.scan}")
    return bool(distinct >= _MOSTLY * filled)


def _user_column(work: Workspace, events: Source, bought: Column) -> Column:
    user = _first(events, _USER, besides=(bought,))
    if user is None:
        raise DataError(
            f"{events.path}: no column is named like a user id ({events.column_names}); "
            'write [data] by hand, with interaction_columns = {user_id = "…"}'
        )
    return user


def _text_columns(work: Workspace, items: Source, item: Column) -> dict[str, Column]:
    """Return our name -> column of the items' texts; without a known name, the column with most distinct texts."""
    fields: dict[str, Column] = {}
    for ours, names in _TEXT.items():
        column = next((each for each in _called(items, names, besides=(item,)) if _has_text(work, items, each)), None)
        if column is not None:
            fields[ours] = column
    if fields:
        return fields
    others = [each for each in items.columns.values() if each.name != item.name and _has_text(work, items, each)]
    if not others:
        raise DataError(
            f"{items.path}: no column holds texts ({items.column_names}); add a column with a text of each item, such"
            " as a title"
        )
    counts = {column.name: _variety(work, items, column) for column in others}
    return {"title": max(others, key=lambda column: counts[column.name])}


def _has_text(work: Workspace, items: Source, column: Column) -> bool:
    """Return whether a column holds words: most of its values have letters and are no web addresses."""
    if column.is_number or column.type.startswith(("DATE", "TIMESTAMP", "BOOLEAN", "STRUCT", "MAP")):
        return False
    value = f"array_to_string({column.texts}, ' ')"
    ((words,),) = work.rows(
        f"SELECT avg(CASE WHEN regexp_matches(value, '\\pL{{2}}') AND NOT starts_with(value, 'http') THEN 1.0 ELSE 0.0"
        f" END) FROM (SELECT {value} AS value FROM {items.scan} LIMIT {_SAMPLE}) WHERE trim(value) <> ''"
    )
    return words is not None and words > _ENOUGH


def _variety(work: Workspace, items: Source, column: Column) -> int:
    ((distinct,),) = work.rows(f"SELECT count(DISTINCT array_to_string({column.texts}, ' ')) FROM {items.scan}")
    return int(distinct)


# ------------------------------------------------------------------------------------------------------------ values


def _order_of(work: Workspace, events: Source, time: Column, remarks: list[str]) -> tuple[str, TimeUnit]:
    """Return how a column of times orders events ("time", "position" or "" for not at all), and its unit."""
    value = time.number()
    ((filled, middle),) = work.rows(
        f"SELECT avg(CASE WHEN value IS NOT NULL THEN 1.0 ELSE 0.0 END), median(value)"
        f" FROM (SELECT {value} AS value FROM {events.scan} USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (0))"
    )
    if filled is None or filled < _MOSTLY:
        remarks.append(f"column '{time.name}' is no time in {1 - (filled or 0):.0%} of the events, so it is ignored")
        return "", "s"
    if middle < EARLIEST:
        remarks.append(f"column '{time.name}' counts events, not seconds since 1970, so it is used as their position")
        return "position", "s"
    units: Mapping[TimeUnit, int] = PER_SECOND
    later = 1e11  # seconds of the year 5138
    return "time", next((unit for unit, per_second in units.items() if middle / per_second < later), "ns")


def _is_split(work: Workspace, events: Source, column: Column) -> bool:
    """Return whether a column holds only names of the parts of a split, with test among them."""
    labels = {row[0] for row in work.rows(f"SELECT DISTINCT lower(trim({column.text})) FROM {events.scan} LIMIT 20")}
    return labels <= set(SPLIT_LABELS) and "test" in labels and len(labels) > 1

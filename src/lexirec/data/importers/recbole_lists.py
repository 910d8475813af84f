"""RecBole's files of histories: rows of a user, the items before (`item_id_list`) and the next item (`item_id`).

Such files hold a sequence several times: one row for each item to predict, with the items before it, cut to the newest
ones. The sequences are put together again: of a user's rows, shortest list first, each adds what the rows before do not
hold.

- The first row adds its list and its item.
- A row whose list ends the sequence so far adds its item.
- A row whose list begins with the whole sequence so far adds the rest of the list and its item.
- A row with the list of the row before it adds its item, as where validation and test have the same history; a row that
  is repeated in its file adds nothing.
- Any other row is refused: the lists are separate sessions, which need ids of their own.

Items to predict belong to the part of their file. Items of lists belong to the training part in training files; in
others they are `history`: in histories, but nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion
from lexirec.data.importers.event_columns import Kept, Moment, id_checks, kept_columns, seconds
from lexirec.data.readers.sql_columns import ROW, Source, literal, quoted
from lexirec.data.readers.time_checks import time_checks
from lexirec.data.readers.validation import MALFORMED_LINE, Check

_PARTS = (None, "train", "valid", "test")


@dataclass(frozen=True)
class ListColumns:
    """Which columns of a file of histories hold what.

    Attributes:
        user: Column of user ids.
        item: Column of the items to predict; None where a list is all there is.
        history: Column of lists of items, oldest first.
        time: Column of the times of the items to predict.
        times: Column of lists of the times of the items in the lists.
        length: Column of the lists' lengths, without what fills them up.
        kept: Our name -> column that is kept with the item to predict.
    """

    user: str
    item: str | None
    history: str
    time: str | None
    times: str | None
    length: str | None
    kept: Mapping[str, Kept]

    @property
    def item_name(self) -> str:
        """Name of the column of item ids in the file of items."""
        return self.item or self.history.removesuffix("_list")

    @property
    def timed(self) -> bool:
        """Whether every item has its time."""
        return self.times is not None and (self.time is not None or self.item is None)


@dataclass(frozen=True)
class HistoryFile:
    """A file of histories, its columns, and the part of a split it holds."""

    source: Source
    columns: ListColumns
    part: str | None


def take_lists(conversion: Conversion, files: Sequence[HistoryFile]) -> None:
    """Take the events of files of histories, each event once.

    Raises:
        DataError: A row is bad, or a list does not continue the rows before it.
    """
    tables = [f"SELECT {_PARTS.index(file.part)} AS p, * FROM {_read(conversion, file)}" for file in files]
    conversion.work.run(f"CREATE TEMP TABLE histories AS {' UNION ALL BY NAME '.join(tables)}")
    broken: list[tuple[int, int, str]] = []
    for direction in ("ASC", "DESC"):  # some files hold the longest list of a user first
        conversion.work.run(f"CREATE OR REPLACE TEMP TABLE steps AS {_steps(direction)}")
        found = conversion.work.rows(
            f"SELECT p, {ROW}, user_id FROM steps WHERE step = 'other' ORDER BY p, {ROW} LIMIT 1"
        )
        if not found:
            break
        broken = broken or found
    else:
        part, row, user = broken[0]
        path = next(file.source.path for file in files if _PARTS.index(file.part) == part)
        raise DataError(
            f"{path}, row {row}: the list of user '{user}' does not continue the rows of that user before it, so the"
            " order of the events is not known; give every session an id of its own, or write one row per event."
        )
    ((repeated,),) = conversion.work.rows("SELECT count(*) FROM steps WHERE step = 'repeated'")
    if repeated:
        conversion.count_left_out("repeated row of a history", repeated)
    _take(conversion, files)


def _read(conversion: Conversion, file: HistoryFile) -> str:
    """Read the rows of one file into a table; returns its name."""
    source, columns = file.source, file.columns
    cut = "" if columns.length is None else f"[:CAST({source.columns[columns.length].number()} AS BIGINT)]"
    selected = {
        "user_id": source.columns[columns.user].text,
        "item_id": "CAST(NULL AS VARCHAR)" if columns.item is None else source.columns[columns.item].text,
        "items": f"({_words(source, columns.history)}){cut}",
    }
    user, item = id_checks(columns.user, columns.item or columns.history)
    checks = [MALFORMED_LINE, user]
    if columns.item is None:
        checks.append(Check("empty list", "len(items) = 0", columns.history, "''", "every row needs items"))
    else:
        checks.append(item)
    if columns.time is not None:
        moment = Moment(columns.time)
        column = source.columns[columns.time]
        value = seconds(column, moment)
        selected |= {"time": value, "time_given": f"CASE WHEN ({value}) IS NULL THEN {column.text} END"}
        checks += time_checks(columns.time, moment.per_second)
    if columns.timed and columns.times is not None:
        numbers = f"[TRY_CAST(e AS DOUBLE) FOR e IN {_words(source, columns.times)}]{cut}"
        selected["times"] = numbers
        bad = "len(times) <> len(items) OR list_contains([e IS NULL FOR e IN times], true)"
        checks.append(Check("no times of the list", bad, columns.times, "''", "every item of the list needs a time"))
    kept, kept_checks = kept_columns(source, columns.kept)
    return conversion.checked(source, {**selected, **kept}, [*checks, *kept_checks])


def _words(source: Source, name: str) -> str:
    """Return SQL for the values of a list: blanks separate them, or commas, as in lists that Python wrote."""
    text = f"trim(coalesce({source.columns[name].text}, ''))"
    bare = f"CASE WHEN {text} LIKE '[%]' THEN regexp_replace({text}, '[\\[\\]''\"]', '', 'g') ELSE {text} END"
    return f"[e FOR e IN string_split_regex({bare}, '[\\s,]+') IF e <> '']"


def _steps(direction: str) -> str:
    """Return SQL that says of each row how it follows the row before it of the same user, and what it adds."""
    whole = "CASE WHEN item_id IS NULL THEN items ELSE list_append(items, item_id) END"
    order = f"PARTITION BY user_id ORDER BY p, len(items), {ROW} {direction}"
    before = ", ".join(
        f"lag({sql}) OVER w AS {name}"
        for name, sql in {"whole_b": "whole", "items_b": "items", "item_b": "item_id", "p_b": "p"}.items()
    )
    ends = "list_slice(whole_b, len(whole_b) - len(items) + 1, len(whole_b)) = items"
    begins = "list_slice(items, 1, len(whole_b)) = whole_b"
    step = (
        "CASE WHEN whole_b IS NULL THEN 'first'"
        " WHEN p = p_b AND items = items_b AND item_id IS NOT DISTINCT FROM item_b THEN 'repeated'"
        f" WHEN len(items) = 0 OR items = items_b OR (len(items) <= len(whole_b) AND {ends}) THEN 'next'"
        f" WHEN len(items) > len(whole_b) AND {begins} THEN 'ahead' ELSE 'other' END"
    )
    skipped = "CASE step WHEN 'first' THEN 0 WHEN 'ahead' THEN len(whole_b) ELSE len(items) END"
    return (
        f"SELECT * EXCLUDE (whole_b, items_b, item_b, p_b), {skipped} AS skipped FROM (SELECT *, {step} AS step FROM"
        f" (SELECT *, {before}, row_number() OVER w AS rank,"
        f" min(p * {2**40} + {ROW}) OVER (PARTITION BY user_id) AS first_row"
        f" FROM (SELECT *, {whole} AS whole FROM histories) WINDOW w AS ({order})))"
    )


def _take(conversion: Conversion, files: Sequence[HistoryFile]) -> None:
    """Take every new item of every row as an event; what stands in further columns belongs to the item to predict."""
    columns = files[0].columns
    timed, parts = all(file.columns.timed for file in files), files[0].part is not None
    target = "item_id IS NOT NULL AND place = len(whole)"
    names = ["CAST(row_number() OVER (PARTITION BY user_id ORDER BY rank, place) - 1 AS INTEGER) AS position"]
    if timed:
        names.append(
            f"CASE WHEN {target} THEN time ELSE times[place] END AS time" if columns.item else "times[place] AS time"
        )
    elif columns.time is not None:
        names.append(f"CASE WHEN {target} THEN time END AS {quoted(_target_time(columns))}")
    kept = dict.fromkeys(ours for file in files for ours in file.columns.kept)
    names += [f"CASE WHEN {target} THEN {quoted(f'kept:{ours}')} END AS {quoted(ours)}" for ours in kept]
    if parts:
        labels = " ".join(f"WHEN {number} THEN {literal(part)}" for number, part in enumerate(_PARTS) if part)
        names.append(f"CASE WHEN {target} OR p = 1 THEN CASE p {labels} END ELSE 'history' END AS split")
    conversion.work.run(
        f"CREATE TEMP TABLE list_events AS SELECT row_number() OVER (ORDER BY first_row, rank, place) AS {ROW},"
        f" user_id, whole[place] AS item_id, {', '.join(names)}"
        " FROM (SELECT *, unnest(range(skipped + 1, len(whole) + 1)) AS place FROM steps WHERE step <> 'repeated')"
    )
    conversion.take_event_rows("SELECT * FROM list_events")
    conversion.remark("every row of histories adds only the events that the user's rows before it do not hold")
    if columns.time is not None and not timed:
        conversion.remark(
            f"only items to predict have a time (column '{_target_time(columns)}'), so events are ordered by position"
        )


def _target_time(columns: ListColumns) -> str:
    return "target_time" if columns.time == "time" else str(columns.time)

"""Importer of MIND, Microsoft's news data: `behaviors.tsv` and `news.tsv`, of one part or of several.

A row of `behaviors.tsv` is an impression: a user, a moment, the news clicked before (oldest first, without times) and
the news shown, each with `-1` (clicked) or `-0`. A user's impressions are taken by time, and each gives

1. those news of its history that no earlier impression of the user named: the known order is kept, and no click comes
   twice; then
2. its clicks, in the order shown.

Events have a `position`, the column `event` (`history` or `click`) and for clicks `clicked_at`, seconds since 1970.
With several parts, clicks belong to the part of their folder; histories belong to the training part in training
folders, and are `history` (in histories, but nothing is trained on them) in others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import Moment, seconds
from lexirec.data.importers.files import find_file, find_files, unzipped
from lexirec.data.readers.events import SPLIT_LABELS
from lexirec.data.readers.sql_columns import ROW, Source, literal
from lexirec.data.readers.time_checks import time_checks
from lexirec.data.readers.validation import MALFORMED_LINE, Check

_BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
_NEWS = ("news_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
_FILES = ("behaviors.tsv", "news.tsv")
_TIME = Moment("time", formats=("%m/%d/%Y %I:%M:%S %p",))
_PART = re.compile(r"(?:^|[^a-z])(train|training|dev|val|valid|validation|test)(?:\.zip)?$", re.IGNORECASE)
_PARTS = ("train", "valid", "test")


class _Part(NamedTuple):
    """A folder with the two files, and the part of the split that it is (None where there is one folder)."""

    folder: Path
    label: str | None


def import_mind(folder: Path, conversion: Conversion) -> Imported:
    """Import impressions and news: the two files, folders of parts (`MINDsmall_train`, `train`, …) or their zip files.

    Raises:
        DataError: A file is missing, or a row is bad.
    """
    parts = _parts(folder, conversion)
    tables = {part: table for part in parts if (table := _impressions(conversion, part)) is not None}
    if not tables:
        raise DataError(
            f"{parts[0].folder}: no impression in behaviors.tsv says what was clicked ('-1' behind a news)."
        )
    _take_clicks(conversion, tables)
    news = [_news(conversion, part.folder / "news.tsv") for part in parts]
    union = " UNION ALL ".join(f"SELECT {number} AS p, * FROM {table}" for number, table in enumerate(news))
    conversion.take_item_rows(
        f"SELECT item_id, title, categories, description FROM ({union})"
        f" QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY p, {ROW}) = 1 ORDER BY p, {ROW}"
    )
    return conversion.finish()


def _parts(folder: Path, conversion: Conversion) -> list[_Part]:
    """Return the folders with the two files, training first."""
    if not folder.is_dir() or (folder / "behaviors.tsv").exists():
        find_file(folder, "behaviors.tsv", "behaviors.tsv".__eq__)
        return [_Part(folder, None)]
    named = {path.name: path for path in folder.iterdir() if (path / "behaviors.tsv").exists()}
    if not named:
        for archive in find_files(folder, "behaviors.tsv", lambda name: name.endswith(".zip")):
            found = unzipped(conversion, archive, _FILES.__contains__)
            named |= {archive.name if len(found) == 1 else path.name: path for path in found}
    if not named:
        find_file(folder, "behaviors.tsv, folders of parts or their zip files", "behaviors.tsv".__eq__)
    if len(named) == 1:
        return [_Part(path, None) for path in named.values()]
    labels = {name: _label(folder, name) for name in named}
    if len(set(labels.values())) < len(labels):
        raise DataError(f"{folder}: two of {', '.join(sorted(labels))} are the same part; leave one of each.")
    return [_Part(named[name], labels[name]) for name in sorted(labels, key=lambda name: _PARTS.index(labels[name]))]


def _label(folder: Path, name: str) -> str:
    match = _PART.search(name)
    if match is None:
        raise DataError(
            f"{folder}: {name} does not end with train, dev or test, so its part of the split is not known."
        )
    return _PARTS[SPLIT_LABELS[match[1].lower()]]


def _table(conversion: Conversion, path: Path, names: Sequence[str], mark: str) -> Source:
    """Open a file without quotes, and with a header only where the first line holds the name of a column."""
    with path.open("rb") as lines:
        first = lines.readline().decode("utf-8-sig", "replace").rstrip("\r\n").lower().split("\t")
    there = names[: max(len(first), names.index(mark) + 1)]
    header = mark in first
    return conversion.work.delimited(path, path, list(there), "\t", header=header, quote="")


def _impressions(conversion: Conversion, part: _Part) -> str | None:
    """Read the impressions of a part; returns the name of their table, None where they do not say what was clicked."""
    source = _table(conversion, part.folder / "behaviors.tsv", _BEHAVIORS, "impressions")
    text = {name: column.text for name, column in source.columns.items()}
    ((rows, labelled),) = conversion.work.rows(
        f"SELECT count(*), count(*) FILTER (regexp_matches({text['impressions']}, '-[01](\\s|$)')) FROM {source.scan}"
    )
    if rows and not labelled:
        conversion.count_left_out("impression without labels", rows)
        return None
    value = seconds(source.columns["time"], _TIME)
    shown = f"string_split_regex(trim(coalesce({text['impressions']}, '')), '\\s+')"
    clicked = f"[regexp_replace(e, '-1$', '') FOR e IN {shown} IF regexp_matches(e, '.-1$')]"
    selected = {
        "impression_id": text["impression_id"],
        "user_id": text["user_id"],
        "time": value,
        "time_given": f"CASE WHEN ({value}) IS NULL THEN {text['time']} END",
        "history": f"trim(coalesce({text['history']}, ''))",
        "clicks": clicked,
        "wrong": f"array_to_string([e FOR e IN {shown} IF NOT regexp_matches(e, '.-[01]$')], ' ')",
    }
    checks = [
        MALFORMED_LINE,
        Check("empty user id", "trim(coalesce(user_id, '')) = ''", "user", "user_id", "every impression needs a user"),
        *time_checks("time", 1),
        Check("no label", "wrong <> ''", "impressions", "wrong", "each news shown ends with -1 (clicked) or -0"),
    ]
    return conversion.checked(source, selected, checks)


def _take_clicks(conversion: Conversion, tables: dict[_Part, str]) -> None:
    """Take histories and clicks as events, as the module says."""
    labels = [part.label for part in tables]
    union = " UNION ALL ".join(f"SELECT {number} AS p, * FROM {table}" for number, table in enumerate(tables.values()))
    conversion.work.run(
        f"CREATE TEMP TABLE impressions AS SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY time, p, {ROW})"
        f" AS turn, min(p * {2**40} + {ROW}) OVER (PARTITION BY user_id) AS first_row FROM ({union})"
    )
    # Most impressions of a user repeat the same history, so it is taken apart once.
    histories = (
        "SELECT user_id, turn, p, first_row, 0 AS kind, unnest(items) AS item_id, NULL AS clicked_at,"
        " NULL AS impression_id, generate_subscripts(items, 1) AS place FROM (SELECT user_id, min(turn) AS turn,"
        " arg_min(p, turn) AS p, first_row, string_split_regex(history, '\\s+') AS items FROM impressions"
        " WHERE history <> '' GROUP BY user_id, first_row, history)"
    )
    clicks = (
        "SELECT user_id, turn, p, first_row, 1 AS kind, unnest(clicks) AS item_id, time AS clicked_at, impression_id,"
        " generate_subscripts(clicks, 1) AS place FROM impressions"
    )
    order = "turn, kind, place"
    columns = [
        "user_id",
        "item_id",
        f"CAST(row_number() OVER (PARTITION BY user_id ORDER BY {order}) - 1 AS INTEGER) AS position",
        "CASE kind WHEN 0 THEN 'history' ELSE 'click' END AS event",
        "CAST(clicked_at AS DOUBLE) AS clicked_at",
        "CAST(impression_id AS VARCHAR) AS impression_id",
    ]
    if len(labels) > 1:
        of_histories = _cases(["train" if label == "train" else "history" for label in labels])
        of_clicks = _cases([str(label) for label in labels])
        columns.append(f"CASE kind WHEN 1 THEN {of_clicks} ELSE {of_histories} END AS split")
    conversion.work.run(
        f"CREATE TEMP TABLE clicks AS SELECT row_number() OVER (ORDER BY first_row, {order}) AS {ROW},"
        f" {', '.join(columns)} FROM (SELECT *, min(turn) OVER (PARTITION BY user_id, item_id) AS first_turn"
        f" FROM ({histories} UNION ALL {clicks})) WHERE kind = 1 OR turn = first_turn"
    )
    conversion.take_event_rows("SELECT * FROM clicks")
    conversion.remark("histories have no times, so events are ordered by position; column 'clicked_at' has the clicks'")


def _cases(labels: Sequence[str]) -> str:
    return f"CASE p {' '.join(f'WHEN {number} THEN {literal(label)}' for number, label in enumerate(labels))} END"


def _news(conversion: Conversion, path: Path) -> str:
    """Read the news of a part; returns the name of their table."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file; news.tsv belongs beside behaviors.tsv.")
    source = _table(conversion, path, _NEWS, "title")
    text = {name: column.text for name, column in source.columns.items()}
    category, subcategory = text["category"], text["subcategory"]
    selected = {
        "item_id": text["news_id"],
        "title": f"nullif(trim({text['title']}), '')",
        "categories": f"[e FOR e IN CASE WHEN {category} = {subcategory} THEN [{category}]"
        f" ELSE [{category}, {subcategory}] END IF e <> '']",
        "description": f"nullif(trim({text.get('abstract', 'CAST(NULL AS VARCHAR)')}), '')",
    }
    empty = Check("empty item id", "trim(coalesce(item_id, '')) = ''", "news", "item_id", "every news needs an id")
    return conversion.checked(source, selected, [MALFORMED_LINE, empty])

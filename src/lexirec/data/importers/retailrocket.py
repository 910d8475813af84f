"""Importer of RetailRocket: `events.csv`, `item_properties_part1.csv` and `…part2.csv`, `category_tree.csv`.

Items have no words: names of properties and their values are hashed, `n…` before a number. The texts are made of them.
`title` is the item's category, `categories` its path from the root, `description` its properties, sorted by name
(`888: 1116713 960601 n277.200; …`). A property that changed has its latest value, whenever it was set, so texts may
know values (prices, above all) that are later than an event.
"""

from __future__ import annotations

import re
from pathlib import Path

from lexirec.core.errors import DataError
from lexirec.data.importers.base import Conversion, Imported
from lexirec.data.importers.event_columns import EventColumns, Kept, Moment, need
from lexirec.data.importers.files import find_file, find_files, unzipped
from lexirec.data.readers.sql_columns import ROW
from lexirec.data.readers.validation import MALFORMED_LINE, Check

_PROPERTIES = re.compile(r"^item_properties(?:_part\d+)?\.csv(\.gz|\.zst)?$")
_ONE = {name: re.compile(rf"^{name}\.csv(\.gz|\.zst)?$") for name in ("events", "category_tree")}
_EVENTS = EventColumns(
    "visitorid",
    "itemid",
    Moment("timestamp", per_second=1000),
    {"event": Kept("event"), "transaction_id": Kept("transactionid")},
)
_DEEPEST = 50
"""Longest path of categories that is followed: a tree with a circle would never end."""


def import_retailrocket(folder: Path, conversion: Conversion) -> Imported:
    """Import events, properties of items and the tree of categories: the files, or their zip file.

    Raises:
        DataError: A file is missing, or a row is bad.
    """
    folder = _folder(folder, conversion)
    events = find_file(folder, "events.csv", lambda name: bool(_ONE["events"].match(name)))
    properties = find_files(folder, "item_properties_part1.csv", lambda name: bool(_PROPERTIES.match(name)))
    if not properties:
        raise DataError(f"{folder}: there is no item_properties_part1.csv in this folder.")
    tree = find_file(folder, "category_tree.csv", lambda name: bool(_ONE["category_tree"].match(name)))
    conversion.take_events(conversion.work.open(events), _EVENTS)
    _read_properties(conversion, properties)
    _read_paths(conversion, tree)
    conversion.take_item_rows(
        "SELECT item_id, 'category ' || category AS title,"
        " [e FOR e IN coalesce(path, ['category ' || category]) IF e IS NOT NULL] AS categories,"
        " description, available FROM"
        " (SELECT item_id, max(value) FILTER (name = 'categoryid') AS category,"
        " string_agg(name || ': ' || value, '; ' ORDER BY TRY_CAST(name AS BIGINT), name)"
        " FILTER (name NOT IN ('categoryid', 'available')) AS description,"
        " TRY_CAST(max(value) FILTER (name = 'available') AS BIGINT) AS available, min(first_row) AS first_row"
        " FROM latest GROUP BY item_id) LEFT JOIN paths USING (category) ORDER BY first_row"
    )
    conversion.remark("items have no words: their texts are made of hashed properties, each with its latest value")
    return conversion.finish()


def _folder(folder: Path, conversion: Conversion) -> Path:
    expected = "events.csv, or the zip file"
    if not folder.is_dir() or find_files(folder, expected, lambda name: bool(_ONE["events"].match(name))):
        return folder
    archive = find_file(folder, expected, lambda name: name.endswith(".zip"))
    wanted = (*_ONE.values(), _PROPERTIES)
    folders = unzipped(conversion, archive, lambda name: any(pattern.match(name) for pattern in wanted))
    if not folders:
        raise DataError(f"{archive}: the archive holds no events.csv.")
    return folders[0]


def _read_properties(conversion: Conversion, paths: list[Path]) -> None:
    """Create the table `latest`: item, property, and the value that was set last."""
    tables = []
    for path in paths:
        source = conversion.work.open(path)
        selected = {
            "item_id": need(source, "itemid").text,
            "name": f"trim({need(source, 'property').text})",
            "value": f"nullif(trim({need(source, 'value').text}), '')",
            "time": need(source, "timestamp").number(),
        }
        checks = [
            MALFORMED_LINE,
            Check("empty item id", "trim(coalesce(item_id, '')) = ''", "itemid", "item_id", "properties need an item"),
            Check("no time", "time IS NULL", "timestamp", "''", "times are milliseconds since 1970"),
        ]
        tables.append(conversion.checked(source, selected, checks))
    union = " UNION ALL ".join(f"SELECT {number} AS p, * FROM {table}" for number, table in enumerate(tables))
    conversion.work.run(
        f"CREATE TEMP TABLE latest AS SELECT item_id, name, arg_max(value, (time, p, {ROW})) AS value,"
        f" min((p, {ROW})) AS first_row FROM ({union}) WHERE value IS NOT NULL GROUP BY item_id, name"
    )


def _whole(text: str) -> str:
    """Return SQL for an id without the ".0" that pandas adds to numbers of a column with gaps."""
    return f"regexp_replace(trim(coalesce({text}, '')), '\\.0$', '')"


def _read_paths(conversion: Conversion, path: Path) -> None:
    """Create the table `paths`: each category and the names of its path from the root."""
    source = conversion.work.open(path)
    selected = {"category": need(source, "categoryid").text, "parent": _whole(need(source, "parentid").text)}
    empty = Check("empty category", "coalesce(category, '') = ''", "categoryid", "category", "a category needs an id")
    tree = conversion.checked(source, selected, [MALFORMED_LINE, empty])
    conversion.work.run(
        "CREATE TEMP TABLE paths AS WITH RECURSIVE steps AS ("
        f"SELECT category, parent, ['category ' || category] AS path FROM {tree} UNION ALL"
        " SELECT steps.category, tree.parent, list_prepend('category ' || steps.parent, steps.path) AS path"
        f" FROM steps LEFT JOIN {tree} AS tree ON tree.category = steps.parent"
        f" WHERE nullif(steps.parent, '') IS NOT NULL AND len(steps.path) < {_DEEPEST})"
        " SELECT category, arg_max(path, len(path)) AS path FROM steps GROUP BY category"
    )

"""Check rows of items and write them: columns without text at once, new items and texts with the next version."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.items.views import ItemView
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.catalog import ItemPatch, ItemsWritten
from lexirec.serving.schemas.common import LONGEST_ID

_KINDS: tuple[set[type], ...] = ({str}, {int, float}, {bool}, {type(None)})


def check_ids(rows: Sequence[dict[str, Any]]) -> None:
    """Check the ids of rows, and their columns.

    Raises:
        ProblemError: an id is none, or a column cannot be stored.
    """
    for place, row in enumerate(rows):
        item = row.get("item_id")
        if not isinstance(item, str) or not 1 <= len(item) <= LONGEST_ID or not item.isprintable():
            detail = f"item_id should be 1 to {LONGEST_ID} printable characters"
            raise ProblemError("invalid-request", detail, [(f"/items/{place}/item_id", detail)])
        check_columns(row, f"/items/{place}")


def check_columns(row: dict[str, Any], pointer: str) -> None:
    """Check names and values of columns: texts, numbers, truth values, null, and lists of texts or of numbers.

    Raises:
        ProblemError: a name or a value cannot be stored.
    """
    for name, value in row.items():
        if not 1 <= len(name) <= LONGEST_ID or not name.isprintable():
            detail = f"a column is called {name[:64]!r}; names are 1 to {LONGEST_ID} printable characters"
            raise ProblemError("invalid-request", detail, [(pointer, detail)])
        kinds = {type(each) for each in value} if isinstance(value, list) else {type(value)}
        if not any(kinds <= allowed for allowed in _KINDS) or not _is_storable(value):
            detail = f"'{name}' should be a text, a number, true, false, null, or a list of texts or of numbers"
            raise ProblemError("invalid-request", detail, [(f"{pointer}/{name}", detail)])


def _is_storable(value: Any) -> bool:
    """Say whether every number fits 64 bits and every text is UTF-8."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and not each.isascii():
            try:
                each.encode("utf-8")
            except UnicodeEncodeError:
                return False
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            return False
        if isinstance(each, float) and not math.isfinite(each):
            return False
    return True


def write_rows(catalog: LivingCatalog, rows: Sequence[dict[str, Any]]) -> ItemsWritten:
    """Write rows in groups with the same columns, so that a column that a row lacks keeps its value.

    Raises:
        DataError, ProblemError: a row cannot be used.
    """
    groups: dict[tuple[bool, frozenset[str]], list[dict[str, Any]]] = {}
    numbers, staged = catalog.known.numbers, catalog.staged
    removed, waiting = frozenset(staged.removed), staged.by_id
    for row in rows:
        item = row["item_id"]
        known = item in waiting or (item in numbers and item not in removed)
        groups.setdefault((known, frozenset(row)), []).append(row)
    added = reworded = changed = 0
    for (known, _), group in groups.items():
        table = as_table(group)
        if known:
            texts, facts = catalog.update(table)
            reworded, changed = reworded + texts, changed + facts
        else:
            added += catalog.add(table)
    return ItemsWritten(added=added, reworded=reworded, changed=changed)


def replace_row(catalog: LivingCatalog, view: ItemView, item_id: str, body: ItemPatch) -> None:
    """Add an item, or replace all its columns: those that the body lacks become empty.

    Raises:
        DataError, ProblemError: a value cannot be used, or the item would have no text.
    """
    fields = {name: value for name, value in body.fields.items() if name != "item_id"}
    texts = catalog.known.catalog.text_fields
    if not any(fields.get(name) for name in texts):
        detail = f"item '{item_id}' has no text; give one of {', '.join(texts)}"
        raise ProblemError("invalid-request", detail, [("/fields", detail)])
    found = view.answers([item_id])
    before = found[0].fields if found and found[0].state != "removed" else {}
    write_rows(catalog, [{**dict.fromkeys(before), **fields, "item_id": item_id}])
    if body.hidden is not None:
        catalog.hide([item_id], hidden=body.hidden)


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows with the same columns as a table.

    Raises:
        ProblemError: the values of a column are of different kinds.
    """
    try:
        return pa.Table.from_pylist(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise ProblemError(
            "invalid-request", f"the values of a column are of different kinds ({reason}); send one kind"
        ) from None

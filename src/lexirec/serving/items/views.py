"""Items as they are now: their columns, their states, and whether they may be recommended at this moment."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.catalog_versions.staging import Staged
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.catalog import ItemAnswer, ItemPage, ItemState


class ItemView:
    """The items of a snapshot and those that are staged, at one moment.

    Attributes:
        snapshot: That answers.
        staged: Changes that wait.
    """

    def __init__(self, snapshot: Snapshot, staged: Staged) -> None:
        """Look at a snapshot and at what is staged."""
        self.snapshot, self.staged = snapshot, staged
        self._removed = frozenset(staged.removed)

    def state(self, item_id: str) -> ItemState | None:
        """Return the state of an item; None where nobody knows it."""
        number = self.snapshot.numbers.get(item_id)
        if number is None:
            return "staged" if item_id in self.staged.by_id else None
        if item_id in self._removed:
            return "removed"
        shown = self.snapshot.shown
        return "live" if shown is None or shown[number] else "hidden"

    def is_available(self, item_id: str) -> bool:
        """Say whether an item may be recommended at this moment."""
        number, available = self.snapshot.numbers.get(item_id), self.snapshot.available
        return number is not None and (available is None or bool(available[number]))

    def answers(self, ids: Sequence[str]) -> list[ItemAnswer]:
        """Return the known ones of some items, with present facts."""
        numbers = {item: number for item in ids if (number := self.snapshot.numbers.get(item)) is not None}
        table = self.snapshot.catalog.table
        rows = dict(zip(numbers, table.take(list(numbers.values())).to_pylist(), strict=True)) if numbers else {}
        found = []
        for item in ids:
            state, row = self.state(item), rows.get(item) or self.staged.by_id.get(item)
            if state is not None and row is not None:
                fields = {name: value for name, value in row.items() if value is not None and name != "item_id"}
                found.append(ItemAnswer(item_id=item, state=state, available=self.is_available(item), fields=fields))
        return found

    def page(self, q: str | None, state: ItemState | None, start: int, limit: int) -> ItemPage:
        """Return the items from a place on, in the order of the catalogue, staged ones at the end.

        Args:
            q: Part of an id or a title, in any case; None for all.
            state: Of the items; None for any.
            start: Place of the first one, of `start_of`.
            limit: Most items.
        """
        chosen, place = list[str](), start
        for place, item in self._from(start, state, q):
            if len(chosen) == limit:
                return ItemPage(items=tuple(self.answers(chosen)), next_cursor=cursor_at(place))
            chosen.append(item)
        return ItemPage(items=tuple(self.answers(chosen)))

    def _from(self, start: int, state: ItemState | None, q: str | None) -> Iterator[tuple[int, str]]:
        """Yield place and id of the wanted items from a place on."""
        ids, numbers = self.snapshot.catalog.item_ids, self.snapshot.numbers
        fresh = [item for item in self.staged.ids if item not in numbers]
        part = q.lower() if q else None
        titles = self._titles() if part else {}
        first = max(start, len(ids)) if state == "staged" else start
        for place in range(first, len(ids) + len(fresh)):
            item = ids[place] if place < len(ids) else fresh[place - len(ids)]
            if part and part not in item.lower() and part not in titles.get(item, "").lower():
                continue
            if state is None or self.state(item) == state:
                yield place, item

    def _titles(self) -> dict[str, str]:
        catalog = self.snapshot.catalog
        has_titles = "title" in catalog.table.column_names
        titles = dict(zip(catalog.item_ids, catalog.field("title"), strict=True)) if has_titles else {}
        for item, row in self.staged.by_id.items():
            titles.setdefault(item, str(row.get("title") or ""))
        return titles


def cursor_at(place: int) -> str:
    """Return the cursor of a place in a list."""
    return base64.urlsafe_b64encode(f"items:{place}".encode()).decode()


def start_of(cursor: str | None) -> int:
    """Return the place that a page begins with.

    Raises:
        ProblemError: the cursor is none that a page gave out.
    """
    if cursor is None:
        return 0
    try:
        word, _, place = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if word == "items" and place.isdigit():
            return int(place)
    except (binascii.Error, ValueError):
        pass
    raise ProblemError("invalid-request", "cursor is none that a page of items gave out; begin without one")

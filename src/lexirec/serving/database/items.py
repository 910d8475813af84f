"""Items: rows with states and a revision by which a snapshot knows that facts changed, paged and searched."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from lexirec.core.errors import did_you_mean
from lexirec.serving.database.access import MAX_PAGE, Access, cursor_of, page_size, read_cursor
from lexirec.serving.database.errors import BadValueError, NotFoundError
from lexirec.serving.database.ids import possible_ids
from lexirec.serving.database.item_rows import STATES, Item, ItemState, ItemWrite, item_of, item_values, searched
from lexirec.serving.database.tables import counters, items
from lexirec.serving.database.upserts import insert, insert_or_update
from lexirec.serving.database.write_queue import single

MAX_SEARCH = 256
_CHANGED = "items"


@dataclass(frozen=True)
class ItemsWritten:
    """What an upsert did.

    Attributes:
        created: Ids that were new, in the order given.
        updated: Ids whose row, state or pending mark changed.
        unchanged: Ids that were already as given.
        revision: The revision of the items afterwards.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    revision: int


@dataclass(frozen=True)
class ItemPage:
    """Items in order of their ids, and the cursor of the next page; None at the end."""

    items: list[Item]
    next_cursor: str | None


class ItemStore:
    """The items of a database.

    Attributes:
        title: The column that the search reads beside the id; for rows that are written from now on.
    """

    def __init__(self, access: Access, title: str = "title") -> None:
        self._access = access
        self.title = title

    def upsert(self, new: Sequence[ItemWrite]) -> Future[ItemsWritten]:
        """Write items, new ones and ones that are there, whose row is replaced; all or none.

        Raises:
            BadValueError: an item is not allowed, or named twice.
        """
        given = {each.item_id: each for each in new}
        if len(given) < len(new):
            raise BadValueError("an item is given twice in one call; give each once.")
        values = {each.item_id: item_values(each.item_id, each.row, self.title) for each in new}
        for each in new:
            _check_state(each.state)
        now = self._access.clock()

        def run(connection: Connection) -> ItemsWritten:
            before = _by_id(connection, list(given), lock=True)
            rows = [_row(each, values[each.item_id], before.get(each.item_id)) for each in new]
            return _store(connection, rows, before, now)

        return self._access.writer.submit(single(run, rows=max(1, len(new))))

    def patch(
        self, item_id: str, changes: Mapping[str, Any], *, state: ItemState | None = None, pending: bool | None = None
    ) -> Future[Item]:
        """Change some columns of an item; None removes a column. `state` and `pending` change where they are given.

        Raises:
            BadValueError: the changes are not allowed. The future raises it, too, where the item as a whole is not, and
                NotFoundError where there is no such item.
        """
        item_values(item_id, {name: value for name, value in changes.items() if value is not None}, self.title)
        _check_state(state)
        now = self._access.clock()

        def run(connection: Connection) -> Item:
            before = _by_id(connection, [item_id], lock=True)
            if item_id not in before:
                raise NotFoundError(f"there is no item '{item_id}'.")
            joined = {name: value for name, value in {**before[item_id].row, **changes}.items() if value is not None}
            new = ItemWrite(item_id, joined, state, pending)
            _store(connection, [_row(new, item_values(item_id, joined, self.title), before[item_id])], before, now)
            return _by_id(connection, [item_id])[item_id]

        return self._access.writer.submit(single(run))

    def set_state(
        self, item_ids: Collection[str], state: ItemState, *, pending: bool | None = None
    ) -> Future[ItemsWritten]:
        """Give items a state; ids that are not there are left out of the answer."""
        _check_state(state)
        wanted, now = possible_ids(item_ids), self._access.clock()

        def run(connection: Connection) -> ItemsWritten:
            before = _by_id(connection, wanted, lock=True)
            rows = [
                _row(ItemWrite(each, item.row, state, pending), item_values(each, item.row, self.title), item)
                for each, item in before.items()
            ]
            return _store(connection, rows, before, now)

        return self._access.writer.submit(single(run, rows=max(1, len(wanted))))

    def get(self, item_ids: Collection[str]) -> dict[str, Item]:
        """Return the items that are there, in the order given."""
        wanted = possible_ids(item_ids)
        return self._access.read(lambda connection: _by_id(connection, wanted))

    def page(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        search: str | None = None,
        state: ItemState | None = None,
        pending: bool | None = None,
    ) -> ItemPage:
        """Return items in order of their ids.

        Args:
            limit: Size of the page, at most 1,000.
            cursor: `next_cursor` of the page before.
            search: Text that the id or the title holds, upper and lower case alike.
            state: Only items of this state; None for all.
            pending: Only items whose changes wait for a version, or only the others; None for all.

        Raises:
            BadCursorError, BadValueError: an argument is not allowed.
        """
        size = page_size(limit)
        wanted: list[ColumnElement[bool]] = []
        if cursor is not None:
            wanted.append(items.c.item_id > read_cursor(cursor, str)[0])
        if search:
            if len(search) > MAX_SEARCH:
                raise BadValueError(f"the search has {len(search):,} characters; allowed are {MAX_SEARCH}.")
            wanted.append(items.c.search.contains(searched(search), autoescape=True))
        if state is not None:
            wanted.append(items.c.state == _check_state(state))
        if pending is not None:
            wanted.append(items.c.pending.is_(pending))
        query = select(items).where(*wanted).order_by(items.c.item_id).limit(size + 1)
        rows = self._access.read(lambda connection: connection.execute(query).all())
        following = cursor_of(rows[size - 1].item_id) if len(rows) > size else None
        return ItemPage([item_of(row) for row in rows[:size]], following)

    def every(self) -> Iterator[Item]:
        """Yield all items in order of their ids, page by page."""
        cursor: str | None = None
        while True:
            page = self.page(limit=MAX_PAGE, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def revision(self) -> int:
        """Return the revision of the items, which every change counts up; 0 before the first."""
        return self._access.read(_revision)

    def changed_since(self, revision: int) -> tuple[int, list[Item]]:
        """Return the revision and the items that changed after an earlier one, in order of their changes."""
        query = select(items).where(items.c.revision > revision).order_by(items.c.revision, items.c.item_id)

        def run(connection: Connection) -> tuple[int, list[Item]]:
            return _revision(connection), [item_of(row) for row in connection.execute(query)]

        return self._access.read_at_once(run)

    def counts(self) -> dict[str, int]:
        """Return the number of items by state, and of `pending` ones."""
        by_state = select(items.c.state, func.count().label("number")).group_by(items.c.state)
        waiting = select(func.count()).where(items.c.pending.is_(True))

        def run(connection: Connection) -> dict[str, int]:
            found = {row.state: row.number for row in connection.execute(by_state)}
            return {each: found.get(each, 0) for each in STATES} | {"pending": connection.scalar(waiting) or 0}

        return self._access.read_at_once(run)


def _check_state(state: ItemState | None) -> ItemState | None:
    if state is not None and state not in STATES:
        raise BadValueError(f"state is '{state}'; allowed are {', '.join(STATES)}.{did_you_mean(str(state), STATES)}")
    return state


def _revision(connection: Connection) -> int:
    return connection.scalar(select(counters.c.value).where(counters.c.name == _CHANGED)) or 0


def _by_id(connection: Connection, item_ids: Sequence[str], *, lock: bool = False) -> dict[str, Item]:
    """Return items; where they are to be changed, other processes wait with their changes until the commit."""
    query = select(items).where(items.c.item_id.in_(list(item_ids)))
    if lock:  # in one order, so that two processes do not wait for each other; SQLite's writer has the only lock
        query = query.order_by(items.c.item_id).with_for_update()
    found = {row.item_id: item_of(row) for row in connection.execute(query)}
    return {each: found[each] for each in item_ids if each in found}


def _row(new: ItemWrite, values: Mapping[str, Any], before: Item | None) -> dict[str, Any]:
    state = new.state or ("staged" if before is None else before.state)
    pending = new.pending if new.pending is not None else before is None or before.pending
    return {"item_id": new.item_id, **values, "state": state, "pending": pending}


def _store(
    connection: Connection, rows: Sequence[dict[str, Any]], before: Mapping[str, Item], now: float
) -> ItemsWritten:
    """Write what differs from before under the next revision; nothing where nothing differs."""
    created = [row for row in rows if row["item_id"] not in before]
    updated = [row for row in rows if row["item_id"] in before and _differs(row, before[row["item_id"]])]
    same = tuple(row["item_id"] for row in rows if row["item_id"] in before and row not in updated)
    if not created and not updated:
        return ItemsWritten((), (), same, _revision(connection))
    revision = _next_revision(connection)
    stamped = [row | {"revision": revision, "updated": now} for row in (*created, *updated)]
    insert_or_update(connection, items, stamped)
    names = [tuple(row["item_id"] for row in each) for each in (created, updated)]
    return ItemsWritten(names[0], names[1], same, revision)


def _differs(row: Mapping[str, Any], item: Item) -> bool:
    same = json.loads(row["row"]) == item.row and (row["state"], row["pending"]) == (item.state, item.pending)
    return not same


def _next_revision(connection: Connection) -> int:
    """Count up; the row stays locked until the commit, so that no later revision is seen before an earlier one."""
    first = insert(connection, counters).values(name=_CHANGED, value=1)
    again = first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return int(connection.execute(again.returning(counters.c.value)).scalar_one())

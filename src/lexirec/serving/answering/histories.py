"""What a user's events mean for a request: the history that is read, items that are seen, and those that are out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.serving.database.event_rules import EventRules, UserEvents
from lexirec.serving.database.ids import session_user

Items = NDArray[np.int32]


@dataclass(frozen=True)
class GivenEvent:
    """An event of a user, stored or in the request.

    Attributes:
        item_id: Of the item, known or not.
        type: Of the event; None for an interaction that the request names without one.
    """

    item_id: str
    type: str | None = None


@dataclass(frozen=True, eq=False)
class History:
    """A user's events in terms of a catalogue.

    Attributes:
        items: int32, item numbers that a model reads, oldest first.
        seen: int32, items that count as seen.
        never: int32, items that are out always.
        unknown: Ids of the request's own events that the catalogue does not have.
    """

    items: Items
    seen: Items
    never: Items
    unknown: tuple[str, ...] = ()

    def forbidden(self, exclude_seen: bool) -> Items:
        """Return the items that may not stand in the answer."""
        return np.concatenate([self.never, self.seen]) if exclude_seen else self.never


def understand(
    stored: UserEvents | None,
    given: Sequence[GivenEvent],
    rules: EventRules,
    number_of: Callable[[str], int | None],
) -> History:
    """Turn events into item numbers.

    Args:
        stored: events of the user; ids that the catalogue lacks are passed over.
        given: events of the request, which come after them; those without a type are read and seen.
        rules: what the types mean.
        number_of: the number of an item id, or None.
    """
    read, seen, never, unknown = list[int](), list[int](), list[int](), list[str]()
    if stored is not None:
        for item_id, kind in stored.older:  # too old to be read
            _add(number_of(item_id), kind, rules, (None, seen, never))
        for item_id, kind in zip(stored.item_ids, stored.types, strict=True):
            _add(number_of(item_id), kind, rules, (read, seen, never))
    for event in given:
        number = number_of(event.item_id)
        if number is None:
            unknown.append(event.item_id)
        elif event.type is None:
            read.append(number)
            seen.append(number)
        else:
            _add(number, event.type, rules, (read, seen, never))
    return History(_array(read), _array(seen), _array(never), tuple(dict.fromkeys(unknown)))


def _array(numbers: list[int]) -> Items:
    return np.array(numbers, dtype=np.int32)


def _add(number: int | None, kind: str, rules: EventRules, to: tuple[list[int] | None, list[int], list[int]]) -> None:
    if number is None:
        return
    read, seen, never = to
    if kind in rules.never:
        never.append(number)
    if read is not None and rules.is_read(kind):
        read.append(number)
    if rules.is_seen(kind):
        seen.append(number)


def owner_of(user_id: str | None, session_id: str | None) -> str | None:
    """Return under which id the events of a user, else of a session, are stored; None for neither."""
    if user_id is not None:
        return user_id
    return session_user(session_id) if session_id is not None else None


StoredEvents = Callable[[Sequence[str]], Mapping[str, UserEvents]]
"""Reads the stored events of many users and sessions at once."""

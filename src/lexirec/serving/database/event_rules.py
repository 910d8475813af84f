"""What the types of events mean: which are read as history, which count as seen, and which forbid an item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class EventRules:
    """Types of events by what they mean; None is every type that does not forbid.

    Attributes:
        read: Types that the model reads as history.
        seen: Types whose items count as seen.
        never: Types whose items are never recommended to the user: owned, disliked, hidden.
    """

    read: frozenset[str] | None = None
    seen: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, read: Iterable[str] | None = None, seen: Iterable[str] | None = None, never: Iterable[str] = ()
    ) -> EventRules:
        """Return the rules of any collections of types."""
        return cls(
            None if read is None else frozenset(read), None if seen is None else frozenset(seen), frozenset(never)
        )

    def is_read(self, kind: str) -> bool:
        """Whether events of a type are history."""
        return kind not in self.never if self.read is None else kind in self.read

    def is_seen(self, kind: str) -> bool:
        """Whether items of events of a type count as seen."""
        return kind not in self.never if self.seen is None else kind in self.seen


class ReadEvents(NamedTuple):
    """The history that a model reads, oldest first."""

    item_ids: list[str]
    times: list[float]


@dataclass(frozen=True)
class UserEvents:
    """Events of one user, oldest first.

    Attributes:
        item_ids: The items, in order of (time, arrival).
        types: Their types.
        times: Their times, in seconds since 1970.
        older: Items and types of events that were left out as too old to be read, without repeats, in no order.
    """

    item_ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    older: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Number of events, without those left out."""
        return len(self.item_ids)

    def history(self, rules: EventRules, newest: int | None = None) -> ReadEvents:
        """Return the items and times of the types that are read, at most the `newest` ones."""
        rows = [
            (item, time)
            for item, kind, time in zip(self.item_ids, self.types, self.times, strict=True)
            if rules.is_read(kind)
        ]
        if newest is not None:
            rows = rows[len(rows) - newest :] if newest < len(rows) else rows
        return ReadEvents([item for item, _ in rows], [time for _, time in rows])

    def seen(self, rules: EventRules) -> set[str]:
        """Return the items of all events that count as seen."""
        return {item for item, kind in self._pairs() if rules.is_seen(kind)}

    def never(self, rules: EventRules) -> set[str]:
        """Return the items that are never to be recommended."""
        return {item for item, kind in self._pairs() if kind in rules.never} if rules.never else set()

    def _pairs(self) -> Iterable[tuple[str, str]]:
        yield from zip(self.item_ids, self.types, strict=True)
        yield from self.older

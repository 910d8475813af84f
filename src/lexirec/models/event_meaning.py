"""What types of events mean to a finished experiment, and a user's typed events in terms of a request.

The experiment file says it in `[data.events]`; without that, every event is history and its item counts as seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lexirec.core.errors import DataError
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.data.event_types import EventTypes
from lexirec.models.loading import folder_named


class TypedEvents(NamedTuple):
    """Item ids of a user's events by what they mean, each oldest first.

    Attributes:
        history: Items that are read.
        seen: Items that count as seen.
        never: Items that are never listed.
    """

    history: tuple[str, ...]
    seen: tuple[str, ...]
    never: tuple[str, ...]


def meaning_of(store: Store, name: str) -> EventTypes:
    """Return what types of events mean to an experiment; to a saved folder, nothing is known of types.

    Raises:
        ArtifactError: there is no such experiment.
    """
    if folder_named(name) is not None:
        return EventTypes()
    data = find_run(store, name).settings.get("data")
    types = data.get("events") if isinstance(data, dict) else None
    return EventTypes() if types is None else EventTypes.model_validate(types)


def split_event(text: str) -> tuple[str, str]:
    """Return type and item id of an event that is written TYPE:ID; the id may hold colons.

    Raises:
        DataError: the type or the id is missing.
    """
    kind, colon, item = text.partition(":")
    if not colon or not kind or not item:
        raise DataError(f"event '{text}': write it as TYPE:ID, the type of the event and the item, such as purchase:A1")
    return kind, item


def told_apart(types: EventTypes, history: Iterable[str], events: Iterable[tuple[str, str]]) -> TypedEvents:
    """Tell a user's events apart by what they mean.

    Args:
        types: What the types mean.
        history: Item ids without a type, oldest first: read and seen.
        events: Types and item ids, oldest first, which come after them.
    """
    plain, typed = tuple(history), list(events)
    return TypedEvents(
        (*plain, *(item for kind, item in typed if types.is_read(kind))),
        (*plain, *(item for kind, item in typed if types.is_seen(kind))),
        tuple(item for kind, item in typed if kind in types.never),
    )

"""Types of events in an experiment: which are trained on, which count as seen, and which forbid an item."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings


class EventTypes(Settings):
    """What the types of events mean, `[data.events]`; a service gives them the same meaning.

    Only events that are read are histories and targets. A type of `never` is read only where `read` names it.
    """

    column: str = Field(default="type", min_length=1)
    """Column of the interactions file that holds the types."""
    read: tuple[str, ...] | None = None
    """Types that are trained on, evaluated and read as history; by default all but those of `never`."""
    seen: tuple[str, ...] | None = None
    """Types whose items a service counts as seen; by default all but those of `never`."""
    never: tuple[str, ...] = ()
    """Types whose items a service never recommends to the user, such as "dislike" or "own"."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.read is not None and not self.read:
            raise ValueError("read names no type, so nothing could be trained on; name one, or leave read out")
        return self

    @property
    def condition(self) -> str | None:
        """The condition of `[data] where` that the events that are read meet; None where all do."""
        name = '"' + self.column.replace('"', '""') + '"'
        if self.read is not None:
            return f"{name} in ({_texts(self.read)})"
        return f"({name} is null or not {name} in ({_texts(self.never)}))" if self.never else None


def _texts(words: tuple[str, ...]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)

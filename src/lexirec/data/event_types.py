"""Types of events in an experiment: which are trained on, which count as seen, and which forbid an item."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings


class EventTypes(Settings):
    """What the types of events mean, `[data.events]`; a service gives them the same meaning.

    Only events that are read are histories and targets. A type of `never` is read only where `read` names it. In
    evaluations, `seen` and `never` leave out the items of a case's list, by the user's events before the target.
    """

    column: str = Field(default="type", min_length=1)
    """Column of the interactions file that holds the types."""
    read: tuple[str, ...] | None = None
    """Types that are trained on, evaluated and read as history; by default all but those of `never`."""
    seen: tuple[str, ...] | None = None
    """Types whose items count as seen, also where they are not trained on; by default all but those of `never`."""
    never: tuple[str, ...] = ()
    """Types whose items are never recommended to the user, such as "dislike" or "own"."""
    evaluate: bool = True
    """Whether evaluations leave these items out, as a service does; if not, a list that leaves out what was seen leaves
    out the items of the history."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.read is not None and not self.read:
            raise ValueError("read names no type, so nothing could be trained on; name one, or leave read out")
        return self

    @property
    def condition(self) -> str | None:
        """The condition of `[data] where` that the events that are read meet; None where all do."""
        if self.read is not None:
            return f"{self._name} in ({_texts(self.read)})"
        return self._all_but_never if self.never else None

    @property
    def seen_apart(self) -> bool:
        """Whether what counts as seen is not just what is read."""
        return self.seen is not None if self.read is None else self.seen is None or {*self.seen} != {*self.read}

    @property
    def seen_condition(self) -> str | None:
        """The condition that events meet which count as seen; None where none do."""
        if self.seen is not None:
            return f"{self._name} in ({_texts(self.seen)})" if self.seen else None
        return self._all_but_never if self.never else f"({self._name} is null or {self._name} is not null)"

    @property
    def never_condition(self) -> str | None:
        """The condition that events meet which forbid their items; None where none do."""
        return f"{self._name} in ({_texts(self.never)})" if self.never else None

    def is_read(self, kind: str) -> bool:
        """Whether events of a type are read as history."""
        return kind not in self.never if self.read is None else kind in self.read

    def is_seen(self, kind: str) -> bool:
        """Whether items of events of a type count as seen."""
        return kind not in self.never if self.seen is None else kind in self.seen

    @property
    def _name(self) -> str:
        return '"' + self.column.replace('"', '""') + '"'

    @property
    def _all_but_never(self) -> str:
        return f"({self._name} is null or not {self._name} in ({_texts(self.never)}))"


def _texts(words: tuple[str, ...]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)

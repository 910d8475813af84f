"""Merging tables of settings: a table laid over another one, which may be of another kind.

A table that names a kind replaces one that names another. Where the table below names none, it is of the usual kind,
and what the new kind knows of it is kept. Either way a line in the log names what is dropped. Settings of the command
line are never dropped: one that the kind does not know is an error.
"""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from lexirec.core.renamed import kinds

COMMAND_LINE = "--set "
"""First part of the origin of a setting that was given on the command line."""
Classes = tuple[type[BaseModel], ...]
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _UsualKind(BeforeValidator):
    """The validator of `usual_kind`, with the kind that it adds."""

    kind: str = ""


def usual_kind(kind: str) -> BeforeValidator:
    """Return a validator that adds a default `kind` to a table without one: `Annotated[A | B, …, usual_kind("a")]`."""

    def add(value: Any) -> Any:
        return {"kind": kind, **value} if isinstance(value, dict) else value

    return _UsualKind(add, kind=kind)


@dataclass(frozen=True)
class Place:
    """What may stand at one place of a settings file.

    Attributes:
        classes: Settings classes of a table there.
        inner: Annotations of what tables by name, or entries of a list, may hold there.
        usual: Kind of a table that does not name one.
    """

    classes: Classes = ()
    inner: tuple[Any, ...] = ()
    usual: str | None = None

    @classmethod
    def of(cls, annotations: Sequence[Any], usual: str | None = None) -> Place:
        """Look through optionals, unions and annotations."""
        classes: list[type[BaseModel]] = []
        inner: list[Any] = []
        waiting = list(annotations)
        while waiting:
            annotation = waiting.pop(0)
            origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
            if origin is Annotated:
                usual = next((mark.kind for mark in parts[1:] if isinstance(mark, _UsualKind)), usual)
                waiting.append(parts[0])
            elif isinstance(origin, type) and issubclass(origin, Mapping):
                inner.append(parts[1])
            elif isinstance(origin, type) and issubclass(origin, Sequence):
                inner.extend(parts)
            elif origin is not None:
                waiting.extend(parts)
            elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
                classes.append(annotation)
        return cls(tuple(classes), tuple(inner), usual)

    def of_kind(self, kind: Any) -> Classes:
        """Return those of the classes that have a kind, or all where none has it."""
        return tuple(cls for cls in self.classes if kind in kinds(cls)) or self.classes

    def inside(self, name: str) -> Place:
        """Return the place of a name in a table here."""
        fields = [cls.model_fields[name] for cls in self.classes if name in cls.model_fields]
        return _of_fields(fields) if fields or not self.inner else Place.of(self.inner)


def _of_fields(fields: Sequence[FieldInfo]) -> Place:
    marks = [mark.kind for field in fields for mark in field.metadata if isinstance(mark, _UsualKind)]
    return Place.of([field.annotation for field in fields], marks[0] if marks else None)


@contextmanager
def said_once() -> Iterator[None]:
    """Let what was dropped be said once while many experiments of one file are read, not once for each of them."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        new = line not in said
        said.add(line)
        return new

    _log.addFilter(is_new)
    try:
        yield
    finally:
        _log.removeFilter(is_new)


@dataclass
class Merger:
    """Lays tables over tables.

    Attributes:
        place: Of the tables, in the settings class that is read.
        origins: The dotted name of a setting -> the file or the override that wrote it last; filled here.
    """

    place: Place
    origins: dict[str, str]

    def lay(self, base: dict[str, Any], values: Mapping[str, Any], origin: str, above: Sequence[str] = ()) -> None:
        """Lay `values` over `base`, in place.

        Args:
            base: The table below.
            values: The table above it.
            origin: Where `values` were written; "" where their origins are known already.
            above: Names of the tables that both are in.
        """
        self._change_kind(base, values, origin, above)
        for key, value in values.items():
            old = base.get(key)
            if isinstance(value, dict) and value and isinstance(old, dict):
                self.lay(old, value, origin, (*above, key))
            else:
                base[key] = value
                self._note((*above, key), origin)

    def _note(self, name: Sequence[str], origin: str) -> None:
        if origin:
            self.origins[".".join(name)] = origin

    def _change_kind(self, base: dict[str, Any], values: Mapping[str, Any], origin: str, above: Sequence[str]) -> None:
        """Drop what does not belong to the kind that `values` name, unless the command line has given it."""
        place, new = self._at(above), values.get("kind")
        old = base.get("kind", place.usual)
        if not base or new is None or old is None or old == new:
            return
        named = base.pop("kind", None) is not None
        known: tuple[Classes, Classes] = ((), ()) if named else (place.of_kind(old), place.of_kind(new))
        dropped = list(self._drop(base, above, *known))
        if named:
            self._note(above, origin)
        if dropped:
            table = ".".join(above)
            reason = f"'{table}.kind' is '{new}' and no longer '{old}', so what was set for that is dropped"
            _log.info("%s: %s: %s", origin or "extends", reason, ", ".join(dropped))

    def _at(self, above: Sequence[str]) -> Place:
        place = self.place
        for name in above:
            place = place.inside(name)
        return place

    def _drop(self, values: dict[str, Any], above: Sequence[str], before: Classes, after: Classes) -> Iterator[str]:
        """Remove what the command line has not given and yield its names.

        With classes, only that is removed which `before` know and `after` do not; what none of them knows is an error
        that is still to be found.
        """
        for key, value in list(values.items()):
            path = (*above, key)
            name, known = ".".join(path), _knows(key, after)
            if self._given(path) or (before and not known and not _knows(key, before)):
                continue
            if isinstance(value, dict) and (known or self._holds_given(name)):
                inner = [_below(key, value, classes) for classes in (before, after)] if known else [(), ()]
                if not known or set(inner[0]) != set(inner[1]):
                    yield from self._drop(value, path, *inner)
            elif not known or (_fits(key, value, before) and not _fits(key, value, after)):
                del values[key]
                yield name

    def _given(self, path: Sequence[str]) -> bool:
        """Whether the command line has given a setting, alone or with its table."""
        names = (".".join(path[:length]) for length in range(len(path), 0, -1))
        return next((self.origins[name] for name in names if name in self.origins), "").startswith(COMMAND_LINE)

    def _holds_given(self, name: str) -> bool:
        """Whether the command line has given a setting inside a table."""
        given = (each for each, origin in self.origins.items() if origin.startswith(COMMAND_LINE))
        return any(each.startswith(f"{name}.") for each in given)


def _knows(key: str, classes: Classes) -> bool:
    return any(key in cls.model_fields or cls.model_config.get("extra") == "allow" for cls in classes)


def _below(key: str, value: Mapping[str, Any], classes: Classes) -> Classes:
    """Return the classes of a table inside a table of these classes."""
    place = Place(classes).inside(key)
    return place.of_kind(value.get("kind", place.usual))


def _fits(key: str, value: Any, classes: Classes) -> bool:
    """Say whether one of the classes takes a value for a setting."""
    for cls in classes:
        field = cls.model_fields.get(key)
        if field is None:
            return cls.model_config.get("extra") == "allow"
        try:
            TypeAdapter(_type_of(field)).validate_python(value)
        except ValidationError:
            continue
        return True
    return False


def _type_of(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation

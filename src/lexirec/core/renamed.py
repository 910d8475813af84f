"""Settings under new names, and settings that came later: keys of what was made before stay what they were.

Old spellings are read and remain the spelling of everything that is stored. What a class
gained later is stored only where it is set (`StoredAsBefore`).

A class declares what it renamed, `model_config = renamed(warmup="warmup_ratio")`; classes derived from it inherit that.
Python, TOML and messages have the new name. Keys, manifests and saved settings have the old one, so that what was made
before the renaming is found after it.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AliasGenerator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from lexirec.core.errors import SettingsError

_log = logging.getLogger(__name__)


class StoredAsBefore(BaseModel):
    """Mixin of settings that grew: those named in `later` are stored only where they differ from their defaults."""

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = plain(self)
        for name in self.later:
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            if getattr(self, name) == default:
                written.pop(name, None)
        return written


class Spelling(NamedTuple):
    """An old spelling that was read, and the one that it stands for; both are dotted names."""

    old: str
    new: str


def renamed(**new: str) -> ConfigDict:
    """Return the configuration of a settings class some of whose settings had another name: `old="new"`."""
    stored = {name: old for old, name in new.items()}
    return ConfigDict(alias_generator=AliasGenerator(serialization_alias=lambda name: stored.get(name, name)))


def old_names(cls: type[BaseModel]) -> dict[str, str]:
    """Return the old names of a class's settings, each with the new one."""
    stored = {name: field.serialization_alias or name for name, field in cls.model_fields.items()}
    return {old: name for name, old in stored.items() if old != name}


def current(values: Mapping[str, Any], cls: type[BaseModel]) -> dict[str, Any]:
    """Return a copy of a table, as read from a file or from JSON, in which every setting has its current name.

    Raises:
        ValueError: a setting is given under both its names.
    """
    copied: dict[str, Any] = _copied(values)
    respell(copied, cls)
    return copied


def respell(values: dict[str, Any], cls: type[BaseModel], below: dict[str, Any] | None = None) -> list[Spelling]:
    """Give every setting of a table its current name, in place.

    Args:
        values: The table.
        cls: The settings class that it is for.
        below: The table that it will be merged into, which may say the kind that it leaves out.

    Returns:
        The old spellings there were.

    Raises:
        ValueError: a setting is given under both its names.
    """
    return list(_respell(values, (cls,), below, ""))


def spelled(settings: BaseModel, name: str, *, stored: bool = False) -> str:
    """Return the current spelling of the dotted name of a setting, or the one that is stored."""
    place: Any = settings
    keys = []
    for given in name.split("."):
        names = old_names(type(place)) if isinstance(place, BaseModel) else {}
        key = names.get(given, given)
        keys.append(next((old for old, new in names.items() if stored and new == key), key))
        place = place.get(key) if isinstance(place, Mapping) else getattr(place, key, None)
    return ".".join(keys)


def mention(spelling: Spelling, origin: str) -> None:
    """Say in the log that a setting has a new name."""
    _log.warning("%s: '%s' is the old name of '%s'; it is still read, write the new one", origin, *spelling)


class Spellings:
    """The spellings of one load of a settings class: each old one is mentioned once in the log."""

    def __init__(self, cls: type[BaseModel]) -> None:
        """Take the class that is loaded."""
        self._cls = cls
        self._mentioned: set[Spelling] = set()

    def of_file(self, values: dict[str, Any], below: dict[str, Any], origin: str) -> dict[str, Any]:
        """Give the settings of a file their current names, in place, before they are merged into those `below`.

        Raises:
            SettingsError: a setting is given under both its names.
        """
        try:
            found = respell(values, self._cls, below)
        except ValueError as error:
            raise SettingsError(f"{origin}: {error}") from None
        for spelling in found:
            if spelling not in self._mentioned:
                mention(spelling, origin)
                self._mentioned.add(spelling)
        return values

    def of_override(self, keys: Sequence[str], value: Any, below: dict[str, Any], origin: str) -> tuple[list[str], Any]:
        """Return the name of an override, key by key, and what it sets, under current names.

        Raises:
            SettingsError: a setting is given under both its names.
        """
        for key in reversed(keys):
            value = {key: value}
        value = self.of_file(value, below, origin)
        found = []
        for _ in keys:
            key, value = next(iter(value.items()))
            found.append(key)
        return found, value


def kinds(cls: type[BaseModel]) -> tuple[str, ...]:
    """Return what a settings class may say in `kind`; nothing for one without."""
    field = cls.model_fields.get("kind")
    return typing.get_args(field.annotation) if field else ()


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _respell(value: Any, annotations: Sequence[Any], below: Any, prefix: str) -> Iterator[Spelling]:
    """Respell what a setting holds: a table, tables by name, or a list of them."""
    classes, inner = _shape(annotations)
    if isinstance(value, dict) and classes:
        yield from _respell_table(value, classes, below if isinstance(below, dict) else {}, prefix)
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _respell(each, inner, _inside(below, key), f"{prefix}{key}.")


def _respell_table(
    values: dict[str, Any], classes: Sequence[type[BaseModel]], below: dict[str, Any], prefix: str
) -> Iterator[Spelling]:
    for cls in classes:
        formerly = getattr(cls, "formerly", None)  # of classes whose values changed, too
        for old, new in formerly(values, below) if formerly is not None else ():
            yield Spelling(f"{prefix}{old}", f"{prefix}{new}")
    owners = _of_kind(classes, values.get("kind", below.get("kind")))
    for old, new in {old: new for owner in owners for old, new in old_names(owner).items()}.items():
        if old not in values or any(old in owner.model_fields for owner in owners):
            continue
        if new in values:
            raise ValueError(
                f"'{prefix}{old}' is the old name of '{prefix}{new}', and both are given; keep the new one"
            )
        values[new] = values.pop(old)
        yield Spelling(f"{prefix}{old}", f"{prefix}{new}")
    for name, value in values.items():
        fields = [owner.model_fields[name].annotation for owner in owners if name in owner.model_fields]
        yield from _respell(value, fields, below.get(name), f"{prefix}{name}.")


def _of_kind(classes: Sequence[type[BaseModel]], kind: Any) -> Sequence[type[BaseModel]]:
    """Return those of a union's classes that have a kind, or all where none has it."""
    return [cls for cls in classes if kind in kinds(cls)] or classes


def _inside(place: Any, key: Any) -> Any:
    if isinstance(place, list):
        return place[int(key)] if str(key).isdigit() and int(key) < len(place) else None
    return place.get(key) if isinstance(place, dict) else None


def _shape(annotations: Sequence[Any]) -> tuple[list[type[BaseModel]], list[Any]]:
    """Return the settings classes among annotations, and what mappings and sequences among them hold."""
    classes: list[type[BaseModel]] = []
    inner: list[Any] = []
    waiting = list(annotations)
    while waiting:
        annotation = waiting.pop(0)
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            waiting.append(parts[0])
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            inner.append(parts[1])
        elif isinstance(origin, type) and issubclass(origin, Sequence):
            inner.extend(parts)
        elif origin is not None:
            waiting.extend(parts)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            classes.append(annotation)
    return classes, inner

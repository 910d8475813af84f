"""Settings files: TOML read into typed classes, with `extends`, command-line overrides and relative paths.

A settings class derives from `Settings` and stands beside the code that uses it; `load_settings` reads a file into it.
Unknown names are refused, so a misspelled setting is never ignored. Every error is one line that names the file, the
setting, the given value and what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from lexirec.core.config_errors import brief, explain, origin_of, shown
from lexirec.core.errors import SettingsError
from lexirec.core.merging import COMMAND_LINE, Merger, Place, usual_kind
from lexirec.core.printable import printable_json
from lexirec.core.renamed import Spellings, current
from lexirec.core.shipped_files import given_file
from lexirec.core.toml_files import DEEPEST, MOST_FILES, Written, located, parse, toml_value

__all__ = [
    "DataPath",
    "ModelName",
    "Settings",
    "as_toml",
    "expand_path",
    "layered_settings",
    "load_settings",
    "override_settings",
    "toml_key",
    "usual_kind",
    "validate_settings",
    "written_in",
]

S = TypeVar("S", bound="Settings")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")


class Settings(BaseModel):
    """Base class of settings: frozen values, unknown names refused, attribute docstrings as descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        serialize_by_alias=True,  # what is stored has the names it always had, see `renamed`
    )

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_read(cls, values: Any) -> Any:
        return current(values, cls) if isinstance(values, Mapping) else values


def written_in(folder: Path, text: str) -> str:
    """Return an override `a.b=c` whose relative paths start from `folder` instead of the working directory."""
    return Written.at(text, folder)


def expand_path(given: str | Path, folder: Path | None = None) -> Path:
    """Return `given` with `~`, `$NAME`, `${NAME}` and `${NAME:-default}` filled in.

    A relative path starts from `folder` (the folder of the file that holds it) or, without one, is left as it is;
    `lexirec:NAME` is a file shipped with lexirec.

    Raises:
        ValueError: an environment variable is not set and has no default.
        SettingsError: lexirec ships no such file.
    """

    def fill(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        value = os.environ.get(name) or match["default"]
        if value is None:
            raise ValueError(f"uses the environment variable {name}, which is not set: set it or write the path itself")
        return value

    if "\0" in str(given):
        raise ValueError("holds a null character, which no path has")
    path = given_file(_VARIABLE.sub(fill, str(given))).expanduser()
    if folder is None or path.is_absolute():
        return path
    return Path(os.path.normpath(folder / path))


def as_toml(value: Any) -> str:
    """Format a plain value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(str(key))} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return printable_json(value)  # a TOML string is a JSON string, and so are numbers and booleans


def toml_key(name: str) -> str:
    """Format a key as TOML: bare where TOML allows it, else quoted."""
    return name if _BARE.fullmatch(name) else as_toml(name)


def _to_path(value: Any) -> Any:
    return expand_path(value, getattr(value, "folder", None)) if isinstance(value, str) else value


DataPath = Annotated[Path, BeforeValidator(_to_path)]
"""A path setting: relative paths are relative to the settings file that holds them, variables and `~` are expanded."""


def _to_name(value: Any) -> Any:
    return str(expand_path(value)) if isinstance(value, str) and ("$" in value or value[:1] == "~") else value


ModelName = Annotated[str, BeforeValidator(_to_name)]
"""The name of a pretrained model: on the hub, or a folder; variables and `~` are expanded."""


def load_settings(path: str | Path, cls: type[S], overrides: Sequence[str] = ()) -> S:
    """Read a TOML file into a settings class.

    The key `extends = "other.toml"` (relative to the file) reads that file first and merges this one into it, table by
    table; a table whose `kind` changes replaces the inherited one (of one that named no kind, the settings stay that
    the new kind has, too), an empty table clears it. In a list of files, later ones override earlier ones;
    `lexirec:NAME` is a file shipped with lexirec. Paths are relative to the file that holds them, those of overrides
    to the working directory.

    Args:
        path: The TOML file, or `lexirec:NAME` for one shipped with lexirec.
        cls: The settings class.
        overrides: `"a.b=c"`, applied after the file, in order; `c` is a TOML value, or text when it is not one.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    if not isinstance(path, str | Path):
        raise SettingsError(f"{shown(path)} is no path of a settings file; give the path of a TOML file")
    path = given_file(path)
    reading = _Reading(cls)
    values = reading.file(path, ())
    for override in _checked(overrides):
        reading.override(values, override)
    return validate_settings(values, cls, path.name, reading.origins)


def override_settings(cls: type[S], overrides: Sequence[str]) -> S:
    """Return a class's defaults with overrides `"a.b=c"` applied, as `load_settings` applies them to a file.

    Raises:
        SettingsError: one line that names setting, what was given and what is allowed.
    """
    values: dict[str, Any] = {}
    reading = _Reading(cls)
    for override in _checked(overrides):
        reading.override(values, override)
    return validate_settings(values, cls, "--set", reading.origins)


def layered_settings(
    cls: type[S], path: str | Path | None, overrides: Sequence[tuple[str, str]] = ()
) -> tuple[S, dict[str, str]]:
    """Read settings from an optional TOML file and overrides of several origins, and say where each value is from.

    Args:
        cls: The settings class.
        path: The TOML file, as for `load_settings`; None for the class's defaults.
        overrides: `("a.b=c", origin)`, applied after the file, in order; messages name the origin.

    Returns:
        The settings, and the origin of every value that is not a default, by its dotted name.

    Raises:
        SettingsError: one line that names the origin, the setting, what was given and what is allowed.
    """
    reading = _Reading(cls)
    values = {} if path is None else reading.file(given_file(path), ())
    for override, origin in overrides:
        reading.override(values, override, origin)
    source = "defaults" if path is None else Path(path).name
    return validate_settings(values, cls, source, reading.origins), reading.origins


def validate_settings(
    values: dict[str, Any], cls: type[S], source: str = "settings", origins: dict[str, str] | None = None
) -> S:
    """Check plain values against a settings class; `source` names them in messages.

    Raises:
        SettingsError: one line that names the setting, what was given and what is allowed.
    """
    try:
        values = current(values, cls)
        return cls.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")  # a wrong name explains a missing one
        name, message = explain(problems[0], cls, values)
        more = f" ({len(problems) - 1} more like this)" if len(problems) > 1 else ""
        raise SettingsError(f"{origin_of(name, origins or {}, source)}: {message}{more}") from None
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None


def _checked(overrides: Sequence[str]) -> Sequence[str]:
    """Return overrides that are a sequence of texts, as a single text or a table is easily given in their place."""
    texts = isinstance(overrides, Sequence) and not isinstance(overrides, str | bytes)
    if not texts or not all(isinstance(each, str) for each in overrides):
        raise SettingsError(f'overrides are {shown(overrides)}; give a list of texts such as ["seed=1"]')
    return overrides


# ---------------------------------------------------------------------------------------------------- reading files


class _Reading:
    """One reading of files and overrides into the plain values of a settings class."""

    def __init__(self, cls: type[Settings]) -> None:
        self.origins: dict[str, str] = {}
        self._files = 0
        self._spellings, self._merger = Spellings(cls), Merger(Place((cls,)), self.origins)

    def file(self, path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
        """Return the values of a file, laid over those of the files that it extends."""
        values = parse(path, chain)
        resolved = path.resolve()
        if resolved in chain:
            names = " -> ".join(p.name for p in (*chain, resolved))
            raise SettingsError(f"{chain[0].name}: the files extend each other in a circle ({names})")
        self._files += 1
        if len(chain) >= DEEPEST or self._files > MOST_FILES:
            raise SettingsError(
                f"{(*chain, path)[0].name}: more than {DEEPEST} files extend each other, or more than {MOST_FILES} are "
                "read in all; write their settings into fewer files"
            )
        values = located(values, resolved.parent)
        given = values.pop("extends", [])
        parents = [given] if isinstance(given, str) else given
        if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
            raise SettingsError(
                f"{path.name}: 'extends' is {shown(given)}; it should be the name of a TOML file, or a list of names"
            )
        base: dict[str, Any] = {}
        for parent in parents:
            below = self.file(_extended(parent, path), (*chain, resolved))
            self._merger.lay(base, below, "")  # origins were recorded while the parent was read
        self._merger.lay(base, self._spellings.of_file(values, base, path.name), path.name)
        return base

    def override(self, values: dict[str, Any], override: str, origin: str | None = None) -> None:
        """Apply `a.b=c` to the values, in place; messages name the origin, by default the command line."""
        origin = origin or f"{COMMAND_LINE}{override}"
        name, equals, text = override.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise SettingsError(f"{origin}: write it as name=value, for example --set seed=1")
        value = toml_value(text.strip(), origin)
        if len(keys) > DEEPEST:
            raise SettingsError(f"{brief(origin)}: no setting is {len(keys)} tables deep")
        if isinstance(override, Written):
            value = located(value, override.folder)
        keys, value = self._spellings.of_override(keys, value, values, origin)
        container: Any = values
        for depth, key in enumerate(keys[:-1]):
            container = _descend(container, key, ".".join(keys[: depth + 1]), override)
        if isinstance(container, list):
            _descend(container, keys[-1], ".".join(keys), override)
            container[int(keys[-1])] = value
        else:
            self._merger.lay(container, {keys[-1]: value}, origin, keys[:-1])


def _extended(given: str, path: Path) -> Path:
    try:
        return expand_path(given, path.resolve().parent)
    except ValueError as error:
        raise SettingsError(f"{path.name}: 'extends' {error}") from None


def _descend(container: Any, key: str, name: str, override: str) -> Any:
    """Return what a table holds under a name, or a list at an index; a name that is missing becomes a table."""
    if isinstance(container, list):
        if not key.isdigit() or int(key) >= len(container):
            raise SettingsError(
                f"--set {override}: '{name}' is no entry of a list of {len(container)}; entries count from 0"
            )
        return container[int(key)]
    inner = container.setdefault(key, {})
    if not isinstance(inner, (dict, list)):
        raise SettingsError(f"--set {override}: '{name}' is {shown(inner)}, not a table of settings")
    return inner

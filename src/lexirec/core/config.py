"""Settings files: TOML read into typed classes, with `extends`, command-line overrides and relative paths.

A settings class derives from `Settings` and stands beside the code that uses it; `load_settings` reads a file into it.
Unknown names are refused, so a misspelled setting is never ignored. Every error is one line that names the file, the
setting, the given value and what is allowed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from lexirec.core.config_errors import explain, origin_of, shown
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.printable import printable_json
from lexirec.core.renamed import Spellings, current
from lexirec.core.shipped_files import given_file

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


class _Written(str):
    """A string with the folder of the file that holds it, so that `DataPath` can be relative to that file."""

    folder: Path

    @classmethod
    def at(cls, text: str, folder: Path) -> _Written:
        written = cls(text)
        written.folder = folder
        return written


def written_in(folder: Path, text: str) -> str:
    """Return an override `a.b=c` whose relative paths start from `folder` instead of the working directory."""
    return _Written.at(text, folder)


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


def usual_kind(kind: str) -> BeforeValidator:
    """Return a validator that adds a default `kind` to a table without one: `Annotated[A | B, …, usual_kind("a")]`."""

    def add(value: Any) -> Any:
        return {"kind": kind, **value} if isinstance(value, dict) else value

    return BeforeValidator(add)


def load_settings(path: str | Path, cls: type[S], overrides: Sequence[str] = ()) -> S:
    """Read a TOML file into a settings class.

    The key `extends = "other.toml"` (relative to the file) reads that file first and merges this one into it, table by
    table; a table whose `kind` changes replaces the inherited one, an empty table clears it. In a list of files, later
    ones override earlier ones; `lexirec:NAME` is a file shipped with lexirec. Paths are relative to the file that
    holds them, those of overrides to the working directory.

    Args:
        path: The TOML file, or `lexirec:NAME` for one shipped with lexirec.
        cls: The settings class.
        overrides: `"a.b=c"`, applied after the file, in order; `c` is a TOML value, or text when it is not one.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    path = given_file(path)
    origins: dict[str, str] = {}
    spellings = Spellings(cls)
    values = _read(path, (), origins, spellings)
    for override in overrides:
        _override(values, override, origins, spellings)
    return validate_settings(values, cls, path.name, origins)


def override_settings(cls: type[S], overrides: Sequence[str]) -> S:
    """Return a class's defaults with overrides `"a.b=c"` applied, as `load_settings` applies them to a file.

    Raises:
        SettingsError: one line that names setting, what was given and what is allowed.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    spellings = Spellings(cls)
    for override in overrides:
        _override(values, override, origins, spellings)
    return validate_settings(values, cls, "--set", origins)


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


# ---------------------------------------------------------------------------------------------------- reading files


def _read(path: Path, chain: tuple[Path, ...], origins: dict[str, str], spellings: Spellings) -> dict[str, Any]:
    resolved = path.resolve()
    if resolved in chain:
        names = " -> ".join(p.name for p in (*chain, resolved))
        raise SettingsError(f"{chain[0].name}: the files extend each other in a circle ({names})")
    values = _located(_parse(path, chain), resolved.parent)
    given = values.pop("extends", [])
    parents = [given] if isinstance(given, str) else given
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise SettingsError(
            f"{path.name}: 'extends' is {shown(given)}; it should be the name of a TOML file, or a list of such names"
        )
    base: dict[str, Any] = {}
    for parent in parents:
        below = _read(expand_path(parent, resolved.parent), (*chain, resolved), origins, spellings)
        _merge(base, below, "", "", {})  # origins were recorded while the parent was read
    _merge(base, spellings.of_file(values, base, path.name), "", path.name, origins)
    return base


def _parse(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    by = f"{chain[-1].name}: extends {path}, but " if chain else ""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{by}there is no settings file {path}.{_neighbor(path)}") from None
    except IsADirectoryError:
        raise SettingsError(f"{by}{path} is a folder; give a TOML file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name}: not valid TOML: {str(error)[0].lower()}{str(error)[1:]}") from None


def _neighbor(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)


def _located(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _located(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_located(inner, folder) for inner in value]
    return _Written.at(value, folder) if isinstance(value, str) else value


def _merge(base: dict[str, Any], values: dict[str, Any], prefix: str, origin: str, origins: dict[str, str]) -> None:
    for key, value in values.items():
        name, old = f"{prefix}{key}", base.get(key)
        if isinstance(value, dict) and value and isinstance(old, dict) and not _other_kind(old, value):
            _merge(old, value, f"{name}.", origin, origins)
        else:
            base[key] = value
            origins[name] = origin


def _other_kind(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return "kind" in new and new["kind"] != old.get("kind", new["kind"])


def _override(values: dict[str, Any], override: str, origins: dict[str, str], spellings: Spellings) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise SettingsError(f"--set {override}: write it as name=value, for example --set seed=1")
    value = _toml_value(text.strip())
    if isinstance(override, _Written):
        value = _located(value, override.folder)
    keys, value = spellings.of_override(keys, value, values, f"--set {override}")
    name = ".".join(keys)
    container: Any = values
    for depth, key in enumerate(keys[:-1]):
        container = _descend(container, key, ".".join(keys[: depth + 1]), override)
    if isinstance(container, list):
        _descend(container, keys[-1], name, override)
        container[int(keys[-1])] = value
        return
    nested = {keys[-1]: value}
    if _other_kind(container, nested):
        container.clear()
    _merge(container, nested, "".join(f"{key}." for key in keys[:-1]), f"--set {override}", origins)


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


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text

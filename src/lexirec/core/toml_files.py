"""TOML files and values: read, located and bounded, with one-line errors for what is no settings file.

A file may be huge, endless, deeply nested or hold numbers that no machine has; none of that is a setting.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from lexirec.core.config_errors import brief
from lexirec.core.errors import SettingsError, did_you_mean

LARGEST = 1 << 20
"""Bytes that a settings file may have."""
DEEPEST = 32
"""Tables that may be nested, and files that may extend each other."""
MOST_FILES = 256
"""Files that may be read for one."""
_LONGEST_KEY = 500
_LONGEST_PATH = 300


class Written(str):
    """A string with the folder of the file that holds it, so that a path can be relative to that file."""

    folder: Path

    @classmethod
    def at(cls, text: str, folder: Path) -> Written:
        """Return a text with its folder."""
        written = cls(text)
        written.folder = folder
        return written


def parse(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """Read a TOML file; `chain` are the files that extend each other and at last this one, for messages.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it is no TOML of a reasonable size.
    """
    by = f"{chain[-1].name}: extends {path}, but " if chain else ""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise SettingsError(f"{by}there is no settings file {path}.{_neighbor(path)}") from None
    except IsADirectoryError:
        raise SettingsError(f"{by}{path} is a folder; give a TOML file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or error
        shown = str(path) if len(str(path)) < _LONGEST_PATH else brief(str(path))
        raise SettingsError(f"{by}{shown} cannot be read: {reason}") from None
    if len(content) > LARGEST:
        raise SettingsError(f"{by}{path} is larger than {LARGEST >> 20} MiB, which no settings file is; give another")
    try:
        text = content.decode("utf-8-sig")
        if _has_long_key(text):
            raise RecursionError
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name}: not valid TOML: {_reason(error)}") from None
    return bounded(values, path.name)


def _has_long_key(text: str) -> bool:
    """Whether a key `a.b.c…` has hundreds of parts, for which tomllib takes minutes."""
    tokens = re.findall(r"[^\s=,{}\[\]]+", text.replace(" ", "").replace("\t", ""))
    return any(token.count(".") > _LONGEST_KEY and ".." not in token for token in tokens)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its tables or lists are nested too deeply"
    text = brief(str(error)) if not isinstance(error, tomllib.TOMLDecodeError) else str(error)
    return f"{text[0].lower()}{text[1:]}"


def bounded(values: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return values that are no deeper than any setting and hold no larger integers than TOML has.

    Raises:
        SettingsError: they are, or do.
    """
    level: list[Any] = [values]
    for _ in range(DEEPEST):
        numbers = [each for each in level if isinstance(each, int)]
        if not all(-(1 << 63) <= number < 1 << 63 for number in numbers):
            raise SettingsError(f"{origin}: an integer is larger than the 64 bits that TOML has; give a smaller one")
        tables = [
            list(each.values()) if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        ]
        level = [each for table in tables for each in table]
        if not level:
            return values
    raise SettingsError(f"{origin}: tables or lists are nested more than {DEEPEST} deep; no setting is")


def _neighbor(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)


def located(value: Any, folder: Path) -> Any:
    """Return a value in which every text knows the folder of its file."""
    if isinstance(value, dict):
        return {key: located(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [located(inner, folder) for inner in value]
    return Written.at(value, folder) if isinstance(value, str) else value


def toml_value(text: str, origin: str) -> Any:
    """Return the TOML value that a text is, or the text itself where it is none.

    Raises:
        SettingsError: the value is nested too deeply or too large; the message begins with `origin`.
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{brief(origin)}: not valid TOML: {_reason(error)}") from None
    return bounded(parsed, brief(origin))["value"] if len(parsed) == 1 else text

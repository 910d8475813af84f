"""Checks of what Python callers pass: a value of a wrong type is one line that says what to pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexirec.core.errors import DataError


class NotFittedError(DataError, AttributeError):
    """A model that is asked for what only `fit` makes."""


def expect(name: str, value: Any, kinds: type | tuple[type, ...], advice: str) -> None:
    """Check the type of an argument.

    Args:
        name: Of the argument.
        value: What was passed.
        kinds: Types that it may have; bool does not count as a number.
        advice: What to pass, such as "pass split.train".

    Raises:
        DataError: it has another type.
    """
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise DataError(f"{name} is of type {type(value).__name__}; {advice}")


def check_columns(columns: Any) -> None:
    """Check a table of columns: our names -> names in the file, or None.

    Raises:
        DataError: it is none.
    """
    expect("columns", columns, (Mapping, type(None)), 'pass a table such as {"item_id": "asin"}')
    texts = [*columns, *columns.values()] if columns is not None else []
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f'columns are {columns!r}; pass texts such as {{"item_id": "asin"}}')


def given_path(name: str, value: Any) -> Path:
    """Return an argument that is a path.

    Raises:
        DataError: it is none.
    """
    expect(name, value, (str, Path), "pass the path of a file or folder as text or as a Path")
    return Path(value)

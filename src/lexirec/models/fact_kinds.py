"""Kinds of the values of facts, and the type of a column that holds several: whole numbers go with fractions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow as pa

from lexirec.core.errors import DataError

Kind: TypeAlias = str
"""`number`, `fraction`, `text`, `truth`, `nothing`, or `[` and the kinds of a list's values."""
_BY_TYPE = {int: "number", float: "fraction", str: "text", bool: "truth", type(None): "nothing"}
_EXAMPLES: Mapping[str, Any] = {"number": 0, "fraction": 0.5, "text": "", "truth": True, "nothing": None}
_FAILURES = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError)


def kind_of(value: Any) -> Kind:
    """Return the kind of a value."""
    found = _BY_TYPE.get(type(value))
    if found is not None:
        return found
    if isinstance(value, list | tuple):
        return "[" + ",".join(sorted({kind_of(each) for each in value}))
    return type(value).__name__


def type_of(kinds: Iterable[Kind]) -> pa.DataType:
    """Return the type of a column with values of these kinds.

    Raises:
        DataError: no column holds them all.
    """
    examples = [_example(kind) for kind in sorted(kinds)]
    try:
        return pa.array(examples).type
    except _FAILURES as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the values are of different kinds ({reason}); give values of one kind") from None


def as_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values as an array of a type.

    Raises:
        DataError: a value is of another kind than the column.
    """
    given = list(values)
    if pa.types.is_temporal(kind):  # facts hold times as texts
        given = [_moment(value) for value in given]
    elif pa.types.is_floating(kind):
        given = [float(value) if type(value) is int else value for value in given]
    elif pa.types.is_integer(kind):
        given = [int(value) if type(value) is float and value.is_integer() else value for value in given]
    try:
        if pa.types.is_integer(kind) and any(type(value) is float for value in given):
            raise pa.ArrowInvalid("a whole number was expected")
        return pa.array(given, kind)
    except _FAILURES as error:
        reason = " ".join(str(error).split())
        raise DataError(f"the values are of another kind than the column ({reason})") from None


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: times as texts, other numbers as Python's."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if type(value) in _BY_TYPE:
        return value
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__float__"):
        return float(value)
    raise DataError(f"a value is of the type {type(value).__name__}; give texts, numbers, truth values or lists")


def _example(kind: Kind) -> Any:
    if kind.startswith("["):
        return [_EXAMPLES[each] for each in kind[1:].split(",") if each]
    return _EXAMPLES[kind]


def _moment(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value

"""A field of the catalogue as filters compare it: its distinct values as text, as numbers and as dates.

A comparison has three outcomes for an item: it matches, it does not, or nobody can say, as the item has a value that
cannot be read as the number or the date the filter asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.date_texts import read_dates
from lexirec.data.number_texts import BLANK, Convention, NumberTexts, read_numbers

Mask: TypeAlias = NDArray[np.bool_]
_COMPARE: dict[str, Callable[..., Any]] = {
    "=": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_EXACT = 2**53
"""From here on, floats are no longer equal to one whole number only."""
_LONGEST_SHOWN = 60


def shown(text: str) -> str:
    """Return a text for a message: in quotes, cut, with control characters and marks of direction spelled out."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


@dataclass(frozen=True)
class Verdict:
    """The outcome of one comparison for every item; arrays (n_items,).

    Attributes:
        match: Items that match.
        unreadable: Items with values that cannot be compared, none of which matches.
        missing: Items without a value.
        problem: What the values are not, with the most frequent one; "" where all can be compared.
    """

    match: Mask
    unreadable: Mask
    missing: Mask
    problem: str = ""

    def negated(self) -> Verdict:
        """Return the verdict of the opposite comparison; what cannot be read stays so, a missing value matches."""
        return Verdict(~self.match & ~self.unreadable, self.unreadable, self.missing, self.problem)


class FilterColumn:
    """The distinct values of one field, and which items have them; readings are made on first use and kept."""

    def __init__(self, name: str, column: pa.ChunkedArray) -> None:
        """Take a column of the catalogue.

        Raises:
            DataError: it holds values that cannot be compared, such as structs.
        """
        self.name, self.n_items = name, len(column)
        values, self._rows = _flattened(column.combine_chunks())
        self.kind, values = _comparable(name, values)
        encoded = pc.dictionary_encode(values)
        self.distinct: pa.Array = encoded.dictionary
        self._codes: NDArray[np.int32] = np.asarray(pc.fill_null(encoded.indices, -1), dtype=np.int32)
        empty = np.zeros(len(self.distinct), dtype=np.bool_)
        if self.kind != "date":
            empty |= np.isnan(self.floats) if self.kind == "number" else np.asarray(pc.equal(self.folded, ""))
        self._missing = np.append(empty, True)  # the last entry is that of nulls, whose code is −1

    # --------------------------------------------------------------------------------------------------- readings

    @cached_property
    def floats(self) -> NDArray[np.float64]:
        """The distinct numbers of a column of numbers."""
        return np.asarray(self.distinct.cast(pa.float64(), safe=False), dtype=np.float64)

    @cached_property
    def folded(self) -> pa.Array:
        """The distinct texts as they are compared, see `fold`."""
        return fold(self.distinct.cast(pa.string()))

    @cached_property
    def numbers(self) -> NumberTexts:
        """The distinct texts as numbers."""
        return read_numbers(self.distinct)

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """The distinct values as instants in UTC, NaT where they are no dates."""
        if self.kind == "date":
            return np.asarray(self.distinct.cast(pa.timestamp("us"), safe=False))
        return read_dates(self.distinct)

    @property
    def values(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The item and the distinct value of every value that is not missing."""
        present = ~self._missing[self._codes]
        items = np.arange(self.n_items, dtype=np.int64) if self._rows is None else self._rows
        return items[present], self._codes[present]

    # ------------------------------------------------------------------------------------------------ comparisons

    def compare(self, operator: str, value: str) -> Verdict:
        """Compare every item with a value by `=`, `~`, `<`, `<=`, `>` or `>=`.

        Raises:
            DataError: The value cannot be compared with this field; without the filter's text.
        """
        if value.strip() == "" and operator == "=":
            return self._without_value()
        if operator == "~":
            return self._spread(self._containing(value))
        if self.kind == "number":
            return self._spread(self._compared_numbers(operator, value))
        if self.kind == "date":
            return self._spread(_COMPARE[operator](self.dates, self._date(value)))
        return self._equal(value) if operator == "=" else self._ordered(operator, value)

    def _containing(self, value: str) -> Mask:
        if self.kind == "number":
            raise DataError("the field holds numbers, which ~ cannot search")
        sought = fold(pa.array([value], pa.string()), trim=False)[0].as_py()
        if not sought:
            raise DataError("~ needs a text to look for")
        return np.asarray(pc.match_substring(self.folded, sought), dtype=np.bool_)

    def _compared_numbers(self, operator: str, value: str) -> Mask:
        integers = pa.types.is_integer(self.distinct.type)
        if integers and value.strip().removeprefix("-").isdecimal() and abs(int(value)) >= _EXACT:
            whole = np.asarray(self.distinct)
            if np.iinfo(whole.dtype).min <= int(value) <= np.iinfo(whole.dtype).max:
                return np.asarray(_COMPARE[operator](whole, np.array(int(value), dtype=whole.dtype)))
        if not np.isnat(read_dates(pa.array([value]))[0]):
            raise DataError(f"{shown(value)} is a date, but the field holds numbers")
        number = _number(value, None)
        if number is None:
            raise DataError(f"the field holds numbers, but {shown(value)} is not a number")
        return np.asarray(_COMPARE[operator](self.floats, number), dtype=np.bool_)

    def _date(self, value: str) -> np.datetime64:
        date: np.datetime64 = read_dates(pa.array([value]))[0]
        if np.isnat(date):
            raise DataError(f"the field holds dates, but {shown(value)} is no date such as 2024-01-31")
        return date

    def _equal(self, value: str) -> Verdict:
        """Compare texts: equal as texts, as numbers ("12,50" and 12.5) or as dates."""
        match = np.asarray(pc.equal(self.folded, fold(pa.array([value]))[0]), dtype=np.bool_)
        unsure = np.zeros_like(match)
        date = read_dates(pa.array([value]))[0]
        if not np.isnat(date):
            match |= self.dates == date
        elif self.name != "item_id" and not _is_code(pa.array([value]))[0] and any(map(str.isdecimal, value)):
            numbers = [each for each in _readings(value, self.numbers.convention) if abs(each) < _EXACT]
            no_code = ~_is_code(self.distinct)
            if len(numbers) == 1:
                match |= no_code & (self.numbers.values == numbers[0])
            possible = np.isin(self.numbers.point, numbers) | np.isin(self.numbers.comma, numbers)
            unsure = no_code & possible & ~match & (self.numbers.ambiguous | (len(numbers) > 1))
        return self._spread(match, unsure, "number")

    def _ordered(self, operator: str, value: str) -> Verdict:
        present = ~self._missing[:-1]
        date = read_dates(pa.array([value]))[0]
        what: Literal["number", "date"] = "number" if np.isnat(date) else "date"
        readable = present & (np.isfinite(self.numbers.values) if what == "number" else ~np.isnat(self.dates))
        if not readable.any():
            example = self._example(present)
            if what == "date":
                raise DataError(f"{shown(value)} is a date, but no item has a date there{example}")
            raise DataError(f"the field holds text, which {operator} cannot compare{example}")
        if what == "date":
            match = _COMPARE[operator](self.dates, date)
        else:
            number = _number(value, self.numbers.convention)
            if number is None:
                raise DataError(f"{shown(value)} is neither a number nor a date such as 2024-01-31")
            match = _COMPARE[operator](self.numbers.values, number)
        return self._spread(match & readable, present & ~readable, what)

    # ------------------------------------------------------------------------------------------- from values to items

    def _without_value(self) -> Verdict:
        missing = ~self._any(~self._missing)
        return Verdict(missing, np.zeros_like(missing), missing)

    def _spread(self, match: Mask, unreadable: Mask | None = None, what: str = "") -> Verdict:
        """Turn the outcome for distinct values into one for items; a list matches if one of its values does."""
        bad = np.zeros_like(match) if unreadable is None else unreadable
        matched = self._any(np.append(match & ~self._missing[:-1], False))
        problem = f"is no {what}{self._example(bad)}" if bad.any() else ""
        return Verdict(matched, self._any(np.append(bad, False)) & ~matched, self._without_value().missing, problem)

    def _any(self, of_values: Mask) -> Mask:
        of_entries = of_values[self._codes]
        if self._rows is None:
            return of_entries
        return np.bincount(self._rows[of_entries], minlength=self.n_items).astype(np.bool_)

    def _example(self, among: Mask) -> str:
        """Return `", such as 'x'"` with the most frequent of some distinct values, "" without any."""
        if not among.any():
            return ""
        counts = np.bincount(self._codes[self._codes >= 0], minlength=len(among))
        chosen = int(np.argmax(np.where(among, counts, -1)))
        text = f", such as {shown(self.distinct[chosen].as_py())}"
        if self.kind != "text" or not self.numbers.ambiguous[chosen]:
            return text
        return f"{text} (read as {self.numbers.point[chosen]:.12g} or {self.numbers.comma[chosen]:.12g})"


def fold(texts: pa.Array, *, trim: bool = True) -> pa.Array:
    """Return texts as they are compared: case, forms of accents and runs of blanks do not count; null stays null."""
    odd = rf"{BLANK}{BLANK}|^{BLANK}|{BLANK}$|[^\P{{Z}} ]|[\t-\r]"
    if pc.any(pc.match_substring_regex(texts, odd)).as_py():
        texts = pc.replace_substring_regex(texts, rf"{BLANK}+", " ")
        texts = pc.utf8_trim(texts, " ") if trim else texts
    if pc.all(pc.string_is_ascii(texts)).as_py():
        return pc.ascii_lower(texts)
    # to capitals and back, as some letters share one capital (σ and ς)
    lowered = pc.utf8_lower(pc.utf8_upper(pc.utf8_normalize(texts, "NFC")))
    return pc.replace_substring(lowered, "ß", "ss")


def _flattened(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64] | None]:
    """Return the values of lists, of any depth, and the row of each; None for the rows where there are no lists."""
    rows: NDArray[np.int64] | None = None
    while pa.types.is_nested(array.type) and hasattr(array.type, "value_type"):
        parents = np.asarray(pc.list_parent_indices(array), dtype=np.int64)
        rows = parents if rows is None else rows[parents]
        array = pc.list_flatten(array)
    return array, rows


def _comparable(name: str, array: pa.Array) -> tuple[Literal["number", "date", "text"], pa.Array]:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number", array
    if pa.types.is_decimal(kind):
        return "number", array.cast(pa.float64())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date", array.cast(pa.timestamp("us", "UTC" if getattr(kind, "tz", None) else None), safe=False)
    try:
        return "text", array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"the field holds values of type {kind}, which filters cannot compare") from None


def _readings(value: str, convention: Convention | None) -> tuple[float, ...]:
    """Read a filter's number as the column's are read: nothing, one number, or two where the column does not say."""
    texts = read_numbers(pa.array([value]))
    point, comma = float(texts.point[0]), float(texts.comma[0])
    if not texts.two_readings[0]:
        return () if np.isnan(point) and np.isnan(comma) else (comma if np.isnan(point) else point,)
    if convention is None and texts.money[0]:
        return (float(texts.values[0]),)
    if convention == "point" or (convention is None and abs(point) < abs(comma)):  # a point, as programs write it
        return (point,)
    if convention == "comma" and abs(comma) < abs(point):
        return (comma,)
    return (point, comma)


def _number(value: str, convention: Convention | None) -> float | None:
    """Return a filter's number, None where it is none.

    Raises:
        DataError: it can be read in two ways, and the column does not say which.
    """
    found = _readings(value, convention)
    if len(found) > 1:
        larger, smaller = f"{max(found, key=abs):.12g}", f"{min(found, key=abs):.3f}"
        smaller = smaller.replace(".", ",") if convention == "comma" else smaller
        raise DataError(f"{shown(value)} can be read in two ways; write {larger}, or {smaller} for the smaller number")
    return found[0] if found else None


def _is_code(texts: pa.Array) -> Mask:
    """Return where texts are codes rather than numbers: a zero before other digits, as in "007"."""
    return np.asarray(pc.match_substring_regex(texts, r"^\D*0\d"), dtype=np.bool_)

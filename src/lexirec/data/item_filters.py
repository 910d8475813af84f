"""Filters of items: `brand=Acme`, `price<20`, `title~oak`, `date>=2024-01-01`, and the items they leave.

A filter is `field OPERATOR value`. Field and value may stand in single or double quotes, which keep blanks and signs
that belong to the language; a quote inside is doubled.

| operator | compares |
|---|---|
| `=` (also `==`), `!=` | texts without regard to case and runs of blanks, numbers as numbers, dates as instants |
| `~` | whether the text contains the value |
| `<` `<=` `>` `>=` | numbers (`data.number_texts` says which texts are numbers), or dates (`data.date_texts`) |

A list matches if one of its values does. A missing value (null, "", NaN) matches no filter but `!=` and `field=""`.
An item with a value that cannot be read as the number or the date a filter asks for is left out by the filter, whether
it allows or denies, and a remark says how many items that are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.filter_columns import FilterColumn, Verdict, shown

_OPERATOR = r"\s*(?P<operator>==|!=|<=|>=|=|<|>|~)"
_QUOTED = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'"
_FILTER = re.compile(rf"^\s*(?P<field>{_QUOTED}|[^=!<>~'\"][^=!<>~]*?){_OPERATOR}(?P<value>.*)$", re.DOTALL)
_HELP = (
    'write field=value; the operators are = != ~ (contains), and < <= > >= for numbers and dates; "quote" odd values'
)
_MOST_NAMES = 30


@dataclass(frozen=True)
class Filter:
    """One filter.

    Attributes:
        text: As it was given.
        field: Name of the field.
        operator: `=`, `!=`, `~`, `<`, `<=`, `>` or `>=`.
        value: What is compared with, without its quotes.
    """

    text: str
    field: str
    operator: str
    value: str


@dataclass(frozen=True)
class ItemMask:
    """Which items some filters leave.

    Attributes:
        mask: bool (n_items,); None without filters: all items are left.
        remarks: One line per filter that could not be decided for some items.
    """

    mask: NDArray[np.bool_] | None
    remarks: tuple[str, ...] = ()


def parse_filter(text: str, fields: Sequence[str] = ()) -> Filter:
    """Take a filter apart.

    Args:
        text: The filter.
        fields: Names of the fields that exist. With them, a name that holds a sign of the language needs no quotes
            unless it can be read otherwise, and an unknown name is an error.

    Raises:
        DataError: It is no filter, or its field is unknown.
    """
    if not isinstance(text, str):
        raise DataError(f"a filter is a text such as 'brand=Acme', but one is of type {type(text).__name__}")
    if re.search("[\ud800-\udfff]", text):
        raise DataError(f"filter {shown(text)} holds bytes that are no UTF-8 text")
    match = _FILTER.match(text)
    parsed = None if match is None else (_unquoted(match["field"].strip()), match["operator"], match["value"])
    if fields and (parsed is None or parsed[0] not in fields):
        parsed = _by_name(text.lstrip(), fields) or parsed
    if parsed is None:
        raise DataError(f"filter {shown(text)} cannot be parsed; {_HELP}")
    field, operator, rest = parsed
    value = rest.strip()
    if fields and field not in fields:
        names = ", ".join(name if name.isprintable() else repr(name) for name in list(fields)[:_MOST_NAMES])
        raise DataError(
            f"filter {shown(text)}: items have no field {shown(field)}; they have {names}"
            f"{', …' if len(fields) > _MOST_NAMES else ''}.{did_you_mean(field, fields)}"
        )
    if not value:
        raise DataError(f'filter {shown(text)} cannot be parsed: the value is missing; for items without one, write ""')
    if value[0] in "=<>!~":
        raise DataError(f"filter {shown(text)} cannot be parsed: there is no operator {operator}{value[0]}; {_HELP}")
    if value[0] in "'\"":
        if re.fullmatch(_QUOTED, value, re.DOTALL) is None:
            raise DataError(
                f"filter {shown(text)} cannot be parsed: the quote that begins the value does not end it; put the "
                "whole value in quotes, and double a quote inside"
            )
        value = _unquoted(value)
    return Filter(text, field, "=" if operator == "==" else operator, value)


def _by_name(text: str, fields: Sequence[str]) -> tuple[str, str, str] | None:
    """Find the longest field that the text begins with, before an operator."""
    for name in sorted(fields, key=len, reverse=True):
        match = re.match(rf"{_OPERATOR}(?P<value>.*)$", text[len(name) :], re.DOTALL) if text.startswith(name) else None
        if match is not None:
            return name, match["operator"], match["value"]
    return None


def _unquoted(text: str) -> str:
    quote = text[:1]
    return text[1:-1].replace(quote * 2, quote) if quote in ("'", '"') and len(text) > 1 else text


def select_items(catalog: Catalog, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> ItemMask:
    """Return the items that match every filter of `allow` and none of `deny`, and what could not be decided.

    Columns are read once per catalogue.

    Raises:
        DataError: A filter cannot be parsed, names an unknown field, cannot be compared with it, or no item is left.
    """
    left = filter_items(catalog, allow, deny)
    if left.mask is not None and not left.mask.any():
        why = f" ({'; '.join(left.remarks)})" if left.remarks else ""
        raise DataError(f"--allow {list(allow)} --deny {list(deny)} leave no item; loosen a filter{why}")
    return left


def filter_items(catalog: Catalog, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> ItemMask:
    """Return the items as `select_items` does, also where none is left.

    Raises:
        DataError: A filter cannot be parsed, names an unknown field, or cannot be compared with it.
    """
    chosen = np.ones(len(catalog), dtype=np.bool_)
    remarks = []
    for name, filters in (("allow", allow), ("deny", deny)):
        if isinstance(filters, str) or not isinstance(filters, Sequence):
            given = shown(filters) if isinstance(filters, str) else f"of type {type(filters).__name__}"
            raise DataError(f'{name} is {given}; pass a list of filters, such as {name}=["brand=Acme"]')
        for text in filters:
            parsed, verdict = judged(catalog, text)
            chosen &= (verdict.match if name == "allow" else ~verdict.match) & ~verdict.unreadable
            remark = _remark(name, parsed, verdict)
            remarks += [remark] if remark else []
    if not allow and not deny:
        return ItemMask(None)
    return ItemMask(chosen, tuple(remarks))


def allowed_items(catalog: Catalog, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> NDArray[np.bool_] | None:
    """Return the mask (n_items,) of `select_items`; None without filters."""
    return select_items(catalog, allow, deny).mask


def matches(catalog: Catalog, text: str) -> NDArray[np.bool_]:
    """Return the mask (n_items,) of the items that match one filter for certain; raises as `select_items` does."""
    return judged(catalog, text)[1].match


def column_of(catalog: Catalog, field: str) -> FilterColumn:
    """Return a field that exists as filters compare it; it is read once per catalogue.

    Raises:
        DataError: It holds values that cannot be compared, such as structs.
    """
    column: FilterColumn | None = catalog.derived.get(field)
    if column is None:
        column = catalog.derived[field] = FilterColumn(field, catalog.table.column(field))
    return column


def judged(catalog: Catalog, text: str) -> tuple[Filter, Verdict]:
    """Return a filter and its verdict of every item; raises as `filter_items` does."""
    parsed = parse_filter(text, catalog.table.column_names)
    try:
        column = column_of(catalog, parsed.field)
        if parsed.operator == "!=":
            return parsed, column.compare("=", parsed.value).negated()
        return parsed, column.compare(parsed.operator, parsed.value)
    except DataError as error:
        raise DataError(f"filter {shown(text)}: {error}") from None


def _remark(name: str, parsed: Filter, verdict: Verdict) -> str:
    """Return the line about items that a filter could not be decided for, "" where there is nothing to say."""
    unreadable, missing = int(verdict.unreadable.sum()), int(verdict.missing.sum())
    total, field = len(verdict.match), shown(parsed.field)
    parts = []
    if unreadable:
        parts.append(
            f"{unreadable:,} of {total:,} items have a {field} that {verdict.problem}; they are left out, as the "
            "filter cannot be decided for them"
        )
    if missing and name == "deny" and parsed.operator in ("<", "<=", ">", ">="):
        parts.append(
            f"{missing:,} of {total:,} items have no {field} and are not denied; to leave them out, deny "
            f"{shown(_without_value(parsed.field))}, too"
        )
    return f"{name} {shown(parsed.text)}: {'; '.join(parts)}" if parts else ""


def _without_value(field: str) -> str:
    """Return the filter of items without a value; the field's name stands in quotes where it needs them."""
    if re.search(r"[=!<>~'\"]", field) or field != field.strip():
        field = '"' + field.replace('"', '""') + '"'
    return f'{field}=""'

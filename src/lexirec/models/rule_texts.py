"""Boosts and quotas of a request, and their texts: `0.7:stock>0`, `brand=2`.

A boost is written WEIGHT:FILTER. The weight stands first, because a filter's value may hold any sign, colons and
numbers included: after the first colon, everything is the filter. A quota is written FIELD=COUNT; a field's name may
stand in quotes, as in filters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lexirec.core.errors import DataError
from lexirec.data.filter_columns import shown
from lexirec.data.item_filters import parse_filter

MOST_WEIGHT = 10.0
"""Greatest weight of a boost, up or down, in nats."""
_BOOST = re.compile(r"\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*:(?P<filter>.*)", re.DOTALL)


@dataclass(frozen=True)
class Boost:
    """A number added to the log-score of the items that match a filter.

    Attributes:
        filter: As in `data.item_filters`.
        weight: −10 … 10 nats; 0.7 doubles an item's probability before all are scaled to sum to 1.
    """

    filter: str
    weight: float

    def __post_init__(self) -> None:
        if not isinstance(self.filter, str):
            raise DataError(f"the filter of a boost is of type {type(self.filter).__name__}; pass a text: 'stock>0'")
        weight = self.weight
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or abs(weight) > MOST_WEIGHT:
            raise DataError(
                f"boost {shown(self.filter)}: the weight is {weight!r}; it should be a number from "
                f"-{MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
            )

    @classmethod
    def parse(cls, text: str) -> Boost:
        """Read WEIGHT:FILTER, such as `0.7:stock>0`.

        Raises:
            DataError: It is no boost.
        """
        match = _BOOST.fullmatch(text)
        if match is None:
            raise DataError(f"boost {shown(text)} cannot be parsed; write WEIGHT:FILTER, such as 0.7:stock>0")
        return cls(match["filter"].strip(), float(match["weight"]))


@dataclass(frozen=True)
class AtMost:
    """A quota: at most `count` items of a list may have the same value of a field.

    Values are equal as in filters: case and runs of blanks do not count. An item with a list of values counts for each
    of them. Items without a value are not limited.

    Attributes:
        field: Name of the field.
        count: At least 1.
    """

    field: str
    count: int

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not self.field:
            raise DataError(f"the field of a quota is {self.field!r}; pass the name of a field, such as 'brand'")
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise DataError(
                f"at most {self.count!r} items per {shown(self.field)}: the number should be a whole one of at least "
                "1; to leave items out, deny them"
            )

    @classmethod
    def parse(cls, text: str, fields: Sequence[str] = ()) -> AtMost:
        """Read FIELD=COUNT, such as `brand=2`.

        Args:
            text: The quota.
            fields: Names of the fields that exist; with them, an unknown one is an error.

        Raises:
            DataError: It is no quota.
        """
        parsed = parse_filter(text, fields)
        if parsed.operator != "=" or not re.fullmatch(r"[+-]?\d{1,18}", parsed.value):
            raise DataError(f"quota {shown(text)} cannot be parsed; write FIELD=COUNT, such as brand=2")
        return cls(parsed.field, int(parsed.value))


BoostsGiven: TypeAlias = Mapping[str, float] | Iterable[Boost | str]
"""Boosts, or their texts, or a table of filters and weights."""
QuotasGiven: TypeAlias = Mapping[str, int] | Iterable[AtMost | str]
"""Quotas, or their texts, or a table of fields and counts."""


def given_boosts(given: Any) -> tuple[Boost, ...]:
    """Return boosts that may be given as `BoostsGiven`.

    Raises:
        DataError: they are given in another way, or one is wrong.
    """
    if isinstance(given, Mapping):
        return tuple(Boost(text, weight) for text, weight in given.items())
    each = _listed("boosts", given, Boost, '["0.7:stock>0"], {"stock>0": 0.7} or [Boost("stock>0", 0.7)]')
    return tuple(Boost.parse(one) if isinstance(one, str) else one for one in each)


def given_quotas(given: Any, fields: Sequence[str] = ()) -> tuple[AtMost, ...]:
    """Return quotas that may be given as `QuotasGiven`; `fields` are those of the catalogue.

    Raises:
        DataError: they are given in another way, or one is wrong.
    """
    if isinstance(given, Mapping):
        return tuple(AtMost(field, count) for field, count in given.items())
    each = _listed("at_most", given, AtMost, '["brand=2"], {"brand": 2} or [AtMost("brand", 2)]')
    return tuple(AtMost.parse(one, fields) if isinstance(one, str) else one for one in each)


def _listed(name: str, given: Any, kind: type, examples: str) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        what = shown(given) if isinstance(given, str) else f"of type {type(given).__name__}"
        raise DataError(f"{name} is {what}; pass a list, such as {examples}")
    each = tuple(given)
    for one in each:
        if not isinstance(one, (str, kind)):
            raise DataError(f"{name} holds a value of type {type(one).__name__}; pass {examples}")
    return each

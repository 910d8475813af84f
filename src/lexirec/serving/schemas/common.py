"""Parts that several requests and answers share: ids, times, filters, lists of ids."""

from __future__ import annotations

import datetime
import re
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from lexirec.core.times import FIRST, LAST, rfc3339, seconds_of

LONGEST_ID = 256
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MOST_FIELDS, MOST_STRANGERS = 100, 20
"""Fields of an object that are looked at one by one, and unknown fields that are told of an object with more."""


class Body(BaseModel):
    """Base of requests: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_strangers(cls, values: Any) -> Any:
        """Leave out all but the first of very many unknown fields: an error for each would take seconds."""
        if not isinstance(values, dict) or len(values) <= MOST_FIELDS:
            return values
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values())}
        strangers = islice((name for name in values if name not in known), MOST_STRANGERS)
        return {name: values[name] for name in [*(name for name in values if name in known), *strangers]}


class Answer(BaseModel):
    """Base of answers; a client takes fields that it does not know yet."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


def _clean_id(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a control character or another one that cannot be printed; ids are printable text")
    return value


def _seconds(value: Any) -> Any:
    """Return seconds since 1970 of a number, or of a text after RFC 3339."""
    return seconds_of(value) if isinstance(value, str | bool) else value


def _possible(value: float) -> float:
    return seconds_of(value)


def _a_number(value: Any) -> Any:
    if isinstance(value, bool | str | bytes):
        raise ValueError("is no number; send a number without quotes")
    return value


def _a_day(value: Any) -> Any:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("is no day; send YYYY-MM-DD")
    return value


Whole = Annotated[int, BeforeValidator(_a_number)]
"""A whole number; texts and truth values, which pydantic would turn into numbers, are refused."""
Number = Annotated[float, BeforeValidator(_a_number)]
"""A number; likewise."""
Day = Annotated[datetime.date, BeforeValidator(_a_day)]
"""A day such as 2026-12-31; numbers, which pydantic would read as seconds, are refused."""
Flag = Annotated[bool, Field(strict=True)]
"""true or false, and nothing that resembles them."""

Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_clean_id)]
"""Id of a user, a session, an item or an event: 1 to 256 printable characters; case is kept."""

Time = Annotated[
    float,
    BeforeValidator(_seconds),
    AfterValidator(_possible),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": FIRST, "maximum": LAST},
                {"type": "string", "format": "date-time"},
            ],
            "description": "Seconds since 1970, or RFC 3339 with its zone.",
        }
    ),
]
"""A time: seconds since 1970 or RFC 3339 in requests, RFC 3339 in UTC in answers."""

FilterText = Annotated[str, Field(min_length=1, max_length=256)]
"""A filter such as `price<20`; see `data.item_filters`."""

Filters = Annotated[tuple[FilterText, ...], Field(max_length=32)]
Ids = Annotated[tuple[Id, ...], Field(max_length=10_000, fail_fast=True)]
"""Ids; the first wrong one is told of, as an error for each of very many would take seconds."""


class Page(Answer):
    """A page of a collection."""

    next_cursor: str | None = None
    """Give it as `cursor` for the next page; null on the last one."""

"""Schema of a labelling model's answer, and its tolerant parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_TRAILING = re.compile(r",(\s*[}\]])")


class CellLabel(BaseModel):
    """Keywords and a description of a cell, as the model answers them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = Field(min_length=1)
    keywords: list[str] = Field(min_length=1)


class MalformedError(Exception):
    """An unusable answer; the message is the reason."""


def answer_schema() -> dict[str, Any]:
    """Return the JSON schema of an answer, in the form that strict endpoints require."""
    return {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "keywords": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["description", "keywords"],
        "additionalProperties": False,
    }


def read_answer(text: str, keywords: int) -> CellLabel:
    """Parse an answer; keywords are lower-cased, deduplicated and cut to the number asked for.

    Text around the JSON object (thoughts, prose, a code fence) and trailing commas are ignored; the object itself must
    match the schema and have at least half the keywords asked for.

    Raises:
        MalformedError: the text has no such object.
    """
    content = _object(_THOUGHT.sub("", text))
    try:
        answer = CellLabel.model_validate(content)
    except ValidationError as error:
        raise MalformedError(_reason(error)) from None
    words = list(dict.fromkeys(word for word in (_folded(keyword).lower() for keyword in answer.keywords) if word))
    description = _folded(answer.description)
    if not description:
        raise MalformedError("the description is empty")
    if len(words) < max(1, keywords // 2):
        raise MalformedError(f"{len(words)} different keywords of the {keywords} asked for")
    return CellLabel(description=description, keywords=words[:keywords])


def _object(text: str) -> dict[str, Any]:
    """Return the first object with a field of the schema, else the first object."""
    objects = list(_objects(text)) or list(_objects(_TRAILING.sub(r"\1", text)))
    matching = [one for one in objects if one.keys() & CellLabel.model_fields.keys()]
    if matching or objects:
        return (matching or objects)[0]
    raise MalformedError("its JSON is cut off or broken" if "{" in text else "there is no JSON object in it")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, start = json.JSONDecoder(strict=False), text.find("{")
    while start >= 0:
        try:
            content, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield content
        start = text.find("{", end)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Input ")
    return f"'{'.'.join(str(part) for part in first['loc'])}': {message[0].lower()}{message[1:]}"


def _folded(text: str) -> str:
    return " ".join(text.split())

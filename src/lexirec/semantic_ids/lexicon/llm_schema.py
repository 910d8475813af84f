"""What a teacher has to answer: its schema, and reading it from what language models really write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_TRAILING = re.compile(r",(\s*[}\]])")


class TeacherAnswer(BaseModel):
    """Keywords and a description of a cell's items."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = Field(min_length=1)
    keywords: list[str] = Field(min_length=1)


class MalformedError(Exception):
    """An answer that cannot be used; the message is the reason."""


def answer_schema() -> dict[str, Any]:
    """Return the JSON schema of an answer, as strict endpoints want it."""
    return {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "keywords": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["description", "keywords"],
        "additionalProperties": False,
    }


def read_answer(text: str, keywords: int) -> TeacherAnswer:
    """Read an answer; keywords come in lower case, each once, at most as many as asked for.

    What stands around the JSON object (thoughts, prose, a code fence) and commas too many are passed over; the object
    itself must be as the schema says, with at least half the keywords asked for.

    Raises:
        MalformedError: there is no such object in the text.
    """
    found = _object(_THOUGHT.sub("", text))
    try:
        answer = TeacherAnswer.model_validate(found)
    except ValidationError as error:
        raise MalformedError(_reason(error)) from None
    words = list(dict.fromkeys(word for word in (_folded(given).lower() for given in answer.keywords) if word))
    description = _folded(answer.description)
    if not description:
        raise MalformedError("the description is empty")
    if len(words) < max(1, keywords // 2):
        raise MalformedError(f"{len(words)} different keywords of the {keywords} asked for")
    return TeacherAnswer(description=description, keywords=words[:keywords])


def _object(text: str) -> dict[str, Any]:
    """Return the first object that has a field we want, else the first at all."""
    found = list(_objects(text)) or list(_objects(_TRAILING.sub(r"\1", text)))
    wanted = [one for one in found if one.keys() & TeacherAnswer.model_fields.keys()]
    if wanted or found:
        return (wanted or found)[0]
    raise MalformedError("its JSON is cut off or broken" if "{" in text else "there is no JSON object in it")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, place = json.JSONDecoder(strict=False), text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield found
        place = text.find("{", end)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Input ")
    return f"'{'.'.join(str(part) for part in first['loc'])}': {message[0].lower()}{message[1:]}"


def _folded(text: str) -> str:
    return " ".join(text.split())

"""Requests about the models of a service."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from lexirec.serving.schemas.common import Body, Flag


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return value


class ModelBody(Body):
    """A model to load."""

    name: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
    """`EXPERIMENT` or `EXPERIMENT:RECOMMENDER`, either with `@VERSION`, or a folder below `models.root`."""
    activate: Flag = False
    """Let it answer as soon as it is loaded."""

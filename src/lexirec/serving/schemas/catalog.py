"""Requests and answers about items, versions of the catalogue, and jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lexirec.serving.schemas.common import Answer, Body, Flag, Ids, Page, Whole

ItemState = Literal["live", "staged", "hidden", "removed"]
Row = dict[str, Any]


class ItemRows(Body):
    """Items: `item_id` and the columns that are given."""

    items: Annotated[tuple[Row, ...], Field(min_length=1, max_length=10_000)]


class ItemIds(Body):
    """Ids of items, which may hold '/'."""

    item_ids: Ids


class ItemPatch(Body):
    """Columns of one item: those that change, or with PUT all of them."""

    fields: Row = Field(default_factory=dict)
    """Columns with their new values; those that no text reads change at once, texts with the next version."""
    hidden: Flag | None = None
    """Hide the item, or show it again, at once."""


class ItemAnswer(Answer):
    """An item: its columns, and its state."""

    item_id: str
    state: ItemState
    available: bool = True
    """Whether it may be recommended at this moment: live, and within `available_from` and `available_until`."""
    fields: Row


class ItemPage(Page):
    """Items in the order of the catalogue; staged ones at the end."""

    items: tuple[ItemAnswer, ...]


class ItemsWritten(Answer):
    """What became of rows."""

    added: int
    """New items, which the next version recommends."""
    reworded: int
    """Items whose texts the next version has."""
    changed: int
    """Items whose other columns have changed at once."""


class ItemsChanged(Answer):
    """How many items changed."""

    changed: int


class VersionAnswer(Answer):
    """A version of the catalogue."""

    version: int
    active: bool
    parent: int | None
    created: str
    counts: dict[str, int]
    seconds: float


class VersionsAnswer(Answer):
    """The versions that are kept, oldest first."""

    items: tuple[VersionAnswer, ...]
    next_cursor: None = None


class DifferenceAnswer(Answer):
    """How two versions differ, by item ids."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[str, ...]
    moved_identifiers: tuple[str, ...]
    """Items with another identifier than before; a publish moves none."""


class RollbackBody(Body):
    """The version to go back to."""

    version: Annotated[Whole, Field(ge=0)] | None = None
    """By default the one that the active version was made from."""


class JobAnswer(Answer):
    """Long work."""

    job_id: str
    kind: str
    state: Literal["running", "done", "failed"]
    seconds: float
    result: Row | None = None
    problem: str | None = None
    """Why it failed; nothing has changed then."""

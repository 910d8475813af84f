"""Requests and answers of `recommend`, `rank`, `similar` and batches."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lexirec.serving.schemas.common import Answer, Body, Filters, FilterText, Flag, Id, Ids, Number, Time, Whole
from lexirec.serving.schemas.problem import ProblemBody

MOST_PLACES = 200
Source = Literal["model", "memory", "popularity"]
Fallback = Literal["newcomer", "deadline", "model-error"]
Variant = Literal["active", "candidate", "pinned"]
FieldName = Annotated[str, Field(min_length=1, max_length=256)]


class HistoryItem(Body):
    """An event of a history that stands in the request."""

    item_id: Id
    time: Time | None = None
    type: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class BoostBody(Body):
    """A number that is added to the log-score of the items that match a filter."""

    filter: FilterText
    weight: Annotated[Number, Field(ge=-10, le=10)]


class AtMostBody(Body):
    """At most this many items with the same value of a field."""

    field: FieldName
    count: Annotated[Whole, Field(ge=1, le=MOST_PLACES)]


class Question(Body):
    """What `recommend` and `rank` share: whose history, and which items may stand in the answer."""

    user_id: Id | None = None
    """A user whose stored events are read."""
    session_id: Id | None = None
    """A session, before its user is known."""
    history: Annotated[tuple[HistoryItem | Id, ...], Field(max_length=1_000)] = ()
    """Items, oldest first: ids, or objects with a time and a type."""
    history_mode: Literal["append", "replace"] = "append"
    """Whether the history comes after the stored events, or in their place."""
    exclude_seen: Flag = True
    """Leave out the items of events of the types that count as seen."""
    allow: Filters = ()
    """Filters that every item must match."""
    deny: Filters = ()
    """Filters that no item may match."""
    allow_items: Ids | None = None
    """Items that alone are allowed."""
    deny_items: Ids = ()
    """Items that are not."""
    boosts: Annotated[tuple[BoostBody, ...], Field(max_length=16)] = ()
    """Numbers added to the log-scores of matching items."""
    on_unknown: Literal["skip", "error"] = "skip"
    """Whether items that nobody knows are listed, or an error."""
    scenario: Annotated[str, Field(max_length=64)] | None = None
    """A label of the place where the list is shown."""
    return_fields: Annotated[tuple[FieldName, ...], Field(max_length=64)] = ()
    """Fields of the items that the answer repeats."""
    explain: Flag = False
    """Say which items of the history an item is recommended for."""
    timeout_ms: Annotated[Whole, Field(ge=1, le=10_000)] = 1_000
    """Milliseconds after which a simpler model answers."""
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The model that must answer, as `NAME` or `NAME@VERSION`; by default the one that has the user's traffic."""
    catalog_version: Annotated[Whole, Field(ge=0)] | None = None
    """Version of the catalogue that must answer; by default the active one."""
    min_catalog_version: Annotated[Whole, Field(ge=0)] | None = None
    """The earliest version of the catalogue that may answer: it is waited for, at most `timeout_ms`, then 409."""


class RecommendRequest(Question):
    """A request for one list."""

    k: Annotated[Whole, Field(ge=1, le=MOST_PLACES)] = 10
    """Number of items."""
    candidates: Ids | None = None
    """Items that alone are legal; the same as `allow_items`, and unknown ones are listed."""
    at_most: Annotated[tuple[AtMostBody, ...], Field(max_length=8)] = ()
    """Quotas by the value of a field."""
    new_items: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Share of the places kept for items that are younger than the model."""


class RankRequest(Question):
    """A request to rank given items: all that are known and legal come back."""

    candidates: Annotated[tuple[Id, ...], Field(min_length=1, max_length=10_000)]
    """Items to rank."""


class SimilarRequest(Body):
    """A request for items like one or several others."""

    item_id: Id | None = None
    item_ids: Annotated[tuple[Id, ...], Field(max_length=100)] = ()
    k: Annotated[Whole, Field(ge=1, le=MOST_PLACES)] = 10
    allow: Filters = ()
    deny: Filters = ()
    deny_items: Ids = ()
    return_fields: Annotated[tuple[FieldName, ...], Field(max_length=64)] = ()

    @model_validator(mode="after")
    def _names_an_item(self) -> Self:
        if (self.item_id is None) == (not self.item_ids):
            raise ValueError("give item_id, or item_ids with at least one id, but not both")
        return self


class BatchRequest(Body):
    """Several requests for lists."""

    requests: Annotated[tuple[RecommendRequest, ...], Field(min_length=1, max_length=64)]


class Because(Answer):
    """An item of the history, and its share in a recommendation."""

    item_id: str
    share: float


class RankedItem(Answer):
    """One place of a list."""

    item_id: str
    rank: int
    """From 1."""
    score: float
    """What ranks the list; comparable within one list only."""
    source: Source
    """What scored the item."""
    fields: dict[str, Any] | None = None
    """Those of `return_fields` that the item has."""
    because: tuple[Because, ...] | None = None
    """With `explain`, the most influential items of the history."""


class ModelName(Answer):
    """The model that answered."""

    name: str
    version: str


class Took(Answer):
    """Milliseconds that an answer took."""

    queue: float
    model: float
    total: float


class Recommendation(Answer):
    """A list of items."""

    recommendation_id: str
    """Give it with events that follow from this list."""
    user_id: str | None = None
    session_id: str | None = None
    model: ModelName
    catalog_version: int
    variant: Variant = "active"
    """Whose traffic the request counts as; `pinned` where it names the model or the catalogue's version."""
    items: tuple[RankedItem, ...]
    complete: bool
    """Whether all places that the legal items could fill are filled."""
    exact: bool | None
    """Whether the list is provably that of an exhaustive search; null where the model cannot say."""
    legal_items: int
    """Items that could stand in the list."""
    fallback: Fallback | None = None
    """Why a simpler model answered; null where the model did."""
    used_events: int
    """Events of the history that were read."""
    unknown_items: tuple[str, ...] = ()
    """Items of the request that the catalogue does not know."""
    remarks: tuple[str, ...] = ()
    """One line per filter that could not be decided for some items."""
    took_ms: Took


class BatchAnswer(Answer):
    """Answers to several requests, in their order; a failed one is a problem."""

    responses: tuple[Recommendation | ProblemBody, ...]


class SimilarAnswer(Answer):
    """Items like the given ones."""

    items: tuple[RankedItem, ...]
    by: str
    """What said that they are similar."""
    catalog_version: int
    unknown_items: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

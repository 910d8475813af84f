"""Answers that the pages of the workbench need: figures of the process, previews, identifiers, reports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lexirec.serving.schemas.common import Answer, Page
from lexirec.serving.schemas.recommend import Recommendation
from lexirec.serving.schemas.service import CatalogAnswer, HealthAnswer, ModelAnswer


class Interval(Answer):
    """Requests for lists within a few seconds."""

    time: float
    """When it began, in seconds since 1970."""
    lists: int
    """Lists that were answered."""
    p50: float | None = None
    """Milliseconds within which half of the requests were answered; null without requests."""
    p99: float | None = None
    """Likewise for 99 of 100."""
    fallbacks: int = 0
    """Lists that a simpler model answered."""
    events: int = 0
    """Events that were accepted."""


class OverviewAnswer(Answer):
    """How the process is, at a glance."""

    lexirec: str
    ready: HealthAnswer
    model: ModelAnswer
    catalog: CatalogAnswer
    seconds_since_start: float
    lists: int
    """Lists since the start."""
    p50: float | None = None
    """Milliseconds of the last quarter of an hour, in steps of about 12 %; null without requests."""
    p99: float | None = None
    fallbacks: dict[str, int] = Field(default_factory=dict)
    """Lists that a simpler model answered, by reason."""
    fallback_share: float = 0.0
    invalid_items: int = 0
    """Items in lists that were not legal; must stay 0."""
    inexact: int = 0
    """Lists that are not provably those of an exhaustive search."""
    events: dict[str, int] = Field(default_factory=dict)
    """Events by result."""
    impressions_dropped: int = 0
    waiting: int = 0
    """Requests that wait for the model now."""
    interval_seconds: float
    intervals: tuple[Interval, ...] = ()
    """The last intervals, oldest first, without gaps."""


class FilterCount(Answer):
    """What a filter leaves."""

    kind: Literal["allow", "deny"]
    filter: str
    alone: int
    """Items that may be recommended under this filter alone."""
    left: int
    """Items under this filter and those before it."""


class BeamNode(Answer):
    """A prefix that the search scored."""

    node: int
    parent: int
    """The node above; 0 is the root."""
    word: str
    items: int
    """Items below it."""
    log_prob: float
    """Given its parent."""
    bias: float | None
    """What filters and boosts added; null where no item below is allowed."""
    score: float | None
    """Sum of both from the root on; null where no item below is allowed."""
    state: Literal["kept", "pruned", "forbidden", "found", "beaten"]
    """`found`: an item of the list; `beaten`: another item that was reached."""
    item_id: str | None = None
    title: str | None = None
    rank: int | None = None
    """Place in the list."""


class BeamDepth(Answer):
    """The prefixes of one length."""

    depth: int
    scored: int
    kept: int
    pruned: int
    forbidden: int
    """Prefixes under which no item is allowed."""
    ended: int
    """Items that were reached."""
    worst_kept: float | None = None
    """Score of the worst prefix that was kept; what is below was pruned."""
    nodes: tuple[BeamNode, ...]
    """The best of each state, and all that lead to the list."""


class BeamAnswer(Answer):
    """How the beam search found a list."""

    width: int
    """Greatest number of prefixes that it kept."""
    searches: int
    """Searches that the list took; the first one is shown."""
    exact: bool
    """Whether no pruned prefix can hold an item as good as the last one that the search found."""
    bound: float | None = None
    """No item below a pruned prefix scores more; null where nothing was pruned, or nothing is known."""
    last_score: float | None = None
    """Score of the last place of the list."""
    depths: tuple[BeamDepth, ...]


class PreviewAnswer(Answer):
    """The list that a request would get, and how it comes about; it is neither recorded nor counted."""

    recommendation: Recommendation
    items: int
    """Items of the catalogue."""
    available: int
    """Items that may be recommended at all."""
    filters: tuple[FilterCount, ...] = ()
    beam: BeamAnswer | None = None
    """Null where nobody asked, or no beam search was made; `remarks` say why."""
    remarks: tuple[str, ...] = ()


class IdentifierStep(Answer):
    """A word of an identifier: the edge into a node of the tree."""

    node: int
    word: str
    depth: int
    items: int
    """Items below the node."""


class IdentifierChild(IdentifierStep):
    """A child of a node."""

    item_id: str | None = None
    """The item that ends there; null for a node with children."""
    title: str | None = None
    value: str | None = None
    """The most frequent value of the field `by` among its items."""
    purity: float | None = None
    """The share of its items that have it."""
    collisions: int = 0


class Purity(Answer):
    """How much alike the items below a node are in a field."""

    field: str
    value: str
    share: float
    """Share of the items with this value, the most frequent one."""
    elsewhere: float
    """Its share in the whole catalogue."""


class NamedItem(Answer):
    """An item and its title."""

    item_id: str
    title: str


class IdentifierNodeAnswer(Page):
    """A node of the tree of identifiers, with its children."""

    catalog_version: int
    node: int
    path: tuple[IdentifierStep, ...]
    """From below the root to the node."""
    depth: int
    longest: int
    """Words of the longest identifier."""
    items: int
    collisions: int
    """Items below it that share all words with another one and are told apart by a number."""
    by: str | None = None
    """The field whose values the purity of children is of."""
    fields: tuple[str, ...] = ()
    """Fields that `by` may name."""
    purity: tuple[Purity, ...] = ()
    examples: tuple[NamedItem, ...] = ()
    children: tuple[IdentifierChild, ...]


class IdentifierWord(IdentifierStep):
    """A word of an item's identifier, and why it stands there."""

    found_in: tuple[str, ...] = ()
    """Text fields of the item that hold the word."""
    share: float = 0.0
    """Share of the items below the node whose texts hold it."""
    siblings: int = 0
    """Other children of the node above."""


class IdentifierItemAnswer(Answer):
    """Where an item sits in the tree of identifiers."""

    catalog_version: int
    item_id: str
    title: str
    words: tuple[IdentifierWord, ...]
    collides_with: tuple[NamedItem, ...] = ()
    """Items with the same words and another number."""
    closest: tuple[NamedItem, ...] = ()
    """Items that share the longest prefix."""


class ReportFile(Answer):
    """A file of a report."""

    name: str
    media_type: str
    bytes: int
    url: str
    """Below the service's root; it needs no key for an hour."""


class ReportAnswer(Answer):
    """An offline report of the store."""

    name: str
    kind: Literal["run", "study"]
    finished: str | None = None
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Of the loaded model of this name, by the treatment of seen items."""
    page: ReportFile | None = None
    """A page of HTML, which is shown in a frame without rights."""
    text: ReportFile | None = None
    """The report as Markdown."""
    figures: tuple[ReportFile, ...] = ()


class ReportsAnswer(Page):
    """The reports of the store, by name."""

    items: tuple[ReportAnswer, ...]

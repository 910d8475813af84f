"""Answers about what was shown and what came of it: recorded lists, and online figures."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import Field

from lexirec.serving.schemas.common import Answer, Time
from lexirec.serving.schemas.recommend import Because, ModelName

Variant = Literal["active", "candidate", "pinned"]


class PastItem(Answer):
    """A place of a list that was answered."""

    item_id: str
    rank: int
    """From 1."""
    score: float | None = None
    source: str | None = None
    """What scored the item."""
    because: tuple[Because, ...] | None = None
    """With `explain`, the most influential items of the history; null where reasons cannot be computed any more."""


class OutcomeAnswer(Answer):
    """An event that came of a list."""

    event_id: str | None = None
    item_id: str
    type: str
    time: Time
    value: float | None = None
    position: int | None = None
    """The place that the event names."""
    rank: int | None = None
    """The place of the item in the list; null where the list does not hold it."""
    inferred: bool
    """Whether the event does not name the list: it is the user's, of an item that was shown to them last here."""


class PastRecommendation(Answer):
    """A list that was answered: what was asked, from which snapshot, what was answered, what came of it."""

    recommendation_id: str
    user_id: str | None = None
    session_id: str | None = None
    time: Time
    variant: str
    """Variant of the traffic split."""
    model: ModelName
    catalog_version: int
    scenario: str | None = None
    request: dict[str, Any] = Field(default_factory=dict)
    """What was asked, without fields at their defaults; of long lists of ids only the first 200."""
    items: tuple[PastItem, ...]
    fallback: str | None = None
    """Why a simpler model answered."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What else was true of the answer: `legal_items`, `used_events`, `exact`, `complete`."""
    outcomes: tuple[OutcomeAnswer, ...] = ()
    """Events that name the list, and inferred ones, oldest first."""
    explained: bool | None = None
    """With `explain`, whether the reasons could be computed."""
    remarks: tuple[str, ...] = ()
    """Why reasons are missing, or rest on something else than the answer did."""


class Figure(Answer):
    """A mean, and its 95 % interval from resampling users; null with fewer than two of them."""

    value: float
    low: float | None = None
    high: float | None = None


class Figures(Answer):
    """What came of the lists of a variant, in all or on one day."""

    impressions: int
    """Lists that were answered and recorded."""
    users: int
    """Users and sessions; newcomers without an id are not among them."""
    hits: int
    """Events that came of these lists."""
    inferred: int
    """Those of them that do not name the list."""
    ctr: Figure | None = None
    """Share of the lists with a click on one of the first k places."""
    mrr: Figure | None = None
    """Mean over the lists of 1 / rank of the highest place that was clicked, 0 without a click on the first k."""
    conversions: dict[str, Figure] = Field(default_factory=dict)
    """By type of event: share of the lists of which at least one such event came."""
    fallback_share: Figure | None = None
    """Share of the lists that a simpler model answered."""
    new_item_share: Figure | None = None
    """Share of the first k places with an item that came after the model's training."""
    items_shown: int
    """Different items on the first k places."""
    coverage: float
    """`items_shown` as a share of the catalogue that answers now; at most 1."""


class DayFigures(Figures):
    """The figures of a day."""

    day: datetime.date
    """In UTC."""


class VariantFigures(Figures):
    """The figures of a variant."""

    variant: str
    days: tuple[DayFigures, ...] = ()
    """The same by day, oldest first; days without lists are left out."""


class DifferenceFigure(Answer):
    """How a figure of the candidate differs from that of the active variant."""

    metric: str
    """`ctr`, `mrr`, or `conversion:TYPE`."""
    value: float
    """Candidate minus active."""
    low: float
    high: float
    """Ends of the 95 % interval of this one look; looked at every day, such intervals leave out 0 too often."""
    relative: float | None = None
    """`value` as a share of the active variant's figure; null where that is 0."""
    smallest_difference: float | None = None
    """The smallest difference that counts in this sample. An equal variant is beyond it in at most 5 % of experiments,
    at all looks and in all metrics together. Null with fewer than 100 users of a variant, who show none."""
    detectable_difference: float | None = None
    """The smallest true difference that a sample of this size finds with a probability of 80 %."""
    verdict: Literal["above", "below", "open"]
    """Whether the candidate is above or below: only where the difference is larger than `smallest_difference`, else
    `open`."""


class EvaluationAnswer(Answer):
    """Online figures by variant."""

    since: Time
    until: Time
    k: int
    clicks: tuple[str, ...] | None = None
    """Types of events that count as clicks; null for all but those that forbid an item."""
    variants: tuple[VariantFigures, ...]
    differences: tuple[DifferenceFigure, ...] | None = None
    """Candidate against active; null where only one of them has lists of two users or more."""
    recorded_share: float
    """Share of users whose lists are recorded."""
    remarks: tuple[str, ...] = ()

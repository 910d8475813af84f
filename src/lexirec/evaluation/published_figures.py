"""Published figures that stand beside a recommender's own: their source, and what is not equal."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lexirec.core.config import Settings

_METRIC = re.compile(r"(recall|ndcg|mrr)@[1-9][0-9]*")


class PublishedFigures(Settings):
    """One row of somebody's table, shown in the report beside this experiment's figures; it enters no measurement."""

    source: str = Field(min_length=1)
    """Paper and table, or whoever else measured it."""
    beside: str | None = None
    """Recommender that it stands beside: `model`, `reinforced`, or the name of a baseline; by default the row is only
    listed."""
    seen: Literal["excluded", "included"] = "included"
    """Treatment of seen items in the source; the figures of that treatment are compared."""
    metrics: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)
    """Figures by metric, such as `"recall@10" = 0.0890`; the hit rate of one target a case is its recall."""
    unequal: dict[str, str] = Field(default_factory=dict)
    """What is not equal in data, recipe or measurement, by subject: `"training rows" = "three quarters of them"`."""

    @field_validator("metrics")
    @classmethod
    def _named_as_ours(cls, metrics: dict[str, float]) -> dict[str, float]:
        wrong = next((name for name in metrics if not _METRIC.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(f"has '{wrong}'; metrics are recall@K, ndcg@K and mrr@K, the hit rate being recall@K")
        return metrics

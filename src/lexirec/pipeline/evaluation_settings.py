"""Settings of the evaluation of an experiment, and the published figures that stand beside it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from lexirec.core.config import Settings
from lexirec.core.renamed import StoredAsBefore
from lexirec.evaluation.published_figures import PublishedFigures


class EvaluationSettings(StoredAsBefore, Settings):
    """Settings of the evaluation: fold, cases, cut-offs, treatment of seen items."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("published", "unequal")  # nothing is measured with them
    later: ClassVar[tuple[str, ...]] = outside_the_key
    ks: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5, 10, 20, 50)
    """Cut-offs k of the metrics; lists are as long as the largest."""
    seen: tuple[Literal["excluded", "included"], ...] = ("excluded", "included")
    """Whether items of the history are excluded from the lists; the first treatment is the headline."""
    fold: Literal["test", "validation"] = "test"
    """The fold that is evaluated."""
    cases: Literal["all", "unseen"] = "all"
    """unseen: only validation cases whose newest history event is not in training, as it is for test cases."""
    sample_users: int | None = Field(default=None, ge=1)
    """Evaluate this many cases, sampled by `seed`, instead of all."""
    seed: int = 0
    """Seed of the sample."""
    keep_lists: int = Field(default=50, ge=0)
    """List positions to keep beside the ranks, for `lexirec analyze`: 8 bytes per position and case, 9 MB for Beauty's
    22,363 cases; use 10 for millions of cases, or 0 for none."""
    published: dict[str, PublishedFigures] = Field(default_factory=dict)
    """Published figures by name, shown beside the recommenders they are of; they change no measurement."""
    unequal: dict[str, str] = Field(default_factory=dict)
    """What is not equal between this experiment and all published figures, by subject; shown with them."""

    @field_validator("ks", "seen")
    @classmethod
    def _some_and_each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("should hold at least one value, each once")
        return values

    @model_validator(mode="after")
    def _unseen_are_of_validation(self) -> Self:
        if self.cases == "unseen" and self.fold != "validation":
            raise ValueError('cases = "unseen" selects validation cases; set fold = "validation"')
        return self

"""What evaluations are looked at against, and the ways to divide their cases, as people name them.

Legend: `C` cases, `I` items, `D` features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.beyond_accuracy import BeyondAccuracyContext
from lexirec.evaluation.categories import Categories, category_field, read_categories
from lexirec.evaluation.memorization import Transitions
from lexirec.evaluation.slices import (
    Slicing,
    by_category,
    by_coldness,
    by_history,
    by_memorisation,
    by_pattern,
    by_popularity,
    by_repeat,
)

KINDS = ("popularity", "coldness", "history", "category", "repeat", "memorisation", "pattern")
"""What cases can be divided by."""


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """What evaluations are looked at against.

    Attributes:
        catalog: the items.
        split: for what was seen in training.
        cases: that were evaluated, (C,).
        vectors: of items (I, D); None for none.
    """

    catalog: Catalog
    split: Split
    cases: Cases
    vectors: NDArray[np.float32] | None = None

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Events of each item in training, (I,)."""
        return self.split.train.counts(self.split.n_items)

    @cached_property
    def transitions(self) -> Transitions:
        """What followed what in training."""
        return Transitions.of(self.split.train, self.split.n_items)


def divided(ground: EvaluationContext, by: Sequence[str] = ()) -> tuple[list[Slicing], list[str]]:
    """Divide the cases; what divides nothing is left out and told.

    Args:
        ground: whose cases they are.
        by: `KIND` or `KIND=VALUE` of `KINDS`, such as `category=brand` or `popularity=5`; by default all kinds.

    Raises:
        SettingsError: there is no such kind, or no such value.
        DataError: there is no such field.
    """
    kept, notes = [], []
    for kind, value in [_kind(each) for each in by] or [(kind, None) for kind in KINDS]:
        slicing = _slicing(kind, value, ground)
        if slicing is None:
            notes.append(f"not divided by {kind}: name a field as --by {kind}=FIELD")
        elif np.count_nonzero(slicing.counts()) < 2:
            everybody = slicing.names[int(slicing.counts().argmax())]
            notes.append(f"not divided by {slicing.kind}: all cases are '{everybody}'")
        else:
            kept.append(slicing)
    return kept, notes


def surroundings(ground: EvaluationContext, exclude_seen: bool, by: Sequence[str] = ()) -> BeyondAccuracyContext:
    """Return what lists are judged by; their categories are those that `by` names, else the most likely field's."""
    field = next((value for kind, value in map(_kind, by) if kind == "category"), None)
    return BeyondAccuracyContext(
        histories=ground.cases.histories,
        targets=ground.cases.targets,
        counts=ground.counts,
        exclude_seen=exclude_seen,
        vectors=ground.vectors,
        categories=_categories(ground.catalog, field),
    )


def _kind(given: str) -> tuple[str, str | None]:
    kind, equals, value = given.partition("=")
    if kind not in KINDS:
        raise SettingsError(f"--by {given}: it should be one of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    if equals and kind not in ("category", "popularity"):
        raise SettingsError(f"--by {given}: {kind} takes no value; write --by {kind}")
    if equals and not value:
        raise SettingsError(f"--by {given}: there is nothing behind the '='; write --by {kind}, or name a value")
    if kind == "popularity" and equals and not (value.isdecimal() and 2 <= int(value) <= 20):
        raise SettingsError(f"--by {given}: popularity is divided into 2 to 20 parts, such as --by popularity=5")
    return kind, value or None


def _slicing(kind: str, value: str | None, ground: EvaluationContext) -> Slicing | None:
    cases = ground.cases
    if kind == "category":
        categories = _categories(ground.catalog, value)
        return by_category(cases.targets, categories) if categories is not None else None
    makers: Mapping[str, Callable[[], Slicing]] = {
        "popularity": lambda: by_popularity(cases.targets, ground.counts, int(value or 3)),
        "coldness": lambda: by_coldness(cases.targets, ground.split.train, ground.split.n_items),
        "history": lambda: by_history(cases.histories.lengths),
        "repeat": lambda: by_repeat(cases),
        "memorisation": lambda: by_memorisation(cases, ground.transitions),
        "pattern": lambda: by_pattern(cases, ground.transitions),
    }
    return makers[kind]()


def _categories(catalog: Catalog, named: str | None) -> Categories | None:
    field = named or category_field(catalog)
    return None if field is None else read_categories(catalog, field)

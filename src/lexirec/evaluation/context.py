"""Context of stored evaluations (catalogue, split, cases, vectors), and slicings by the names of the command line.

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
from lexirec.data.item_categories import Categories, category_field, read_categories
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.beyond_accuracy import BeyondAccuracyContext
from lexirec.evaluation.memorization import Transitions, fewest_hops
from lexirec.evaluation.slices import (
    Slicing,
    by_category,
    by_coldness,
    by_history,
    by_hops,
    by_memorisation,
    by_pattern,
    by_popularity,
    by_rarity,
    by_repeat,
    by_transition,
)

KINDS = (
    "popularity",
    "rarity",
    "coldness",
    "history",
    "category",
    "repeat",
    "memorisation",
    "pattern",
    "transition",
    "hops",
)
"""Kinds of slicing."""


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """Data that slices and beyond-accuracy measures need besides the reports.

    Attributes:
        catalog: the items.
        split: the data split, for what was seen in training.
        cases: the evaluated cases, (C,).
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
        """Item transitions of the training part."""
        return Transitions.of(self.split.train, self.split.n_items)

    @cached_property
    def hops(self) -> NDArray[np.int8]:
        """Fewest hops in which training leads to each target, by pattern, (C, P)."""
        return fewest_hops(self.cases, self.split.train, self.split.n_items)


def divided(context: EvaluationContext, by: Sequence[str] = ()) -> tuple[list[Slicing], list[str]]:
    """Slice the cases by every kind; return the slicings, and notes on those that would have a single group.

    Args:
        context: catalogue, split and cases.
        by: `KIND` or `KIND=VALUE` of `KINDS`, such as `category=brand` or `popularity=5`; by default all kinds.

    Raises:
        SettingsError: there is no such kind, or no such value.
        DataError: there is no such field.
    """
    kept, notes = [], []
    for kind, value in [_kind(each) for each in by] or [(kind, None) for kind in KINDS]:
        slicing = _slicing(kind, value, context)
        if slicing is None:
            notes.append(f"not sliced by {kind}: no field was recognised; name one with --by {kind}=FIELD")
        elif np.count_nonzero(slicing.counts()) < 2:
            group = slicing.names[int(slicing.counts().argmax())]
            notes.append(f"not sliced by {slicing.kind}: all cases are in the group '{group}'")
        else:
            kept.append(slicing)
    return kept, notes


def beyond_accuracy_context(
    context: EvaluationContext, exclude_seen: bool, by: Sequence[str] = ()
) -> BeyondAccuracyContext:
    """Context of beyond-accuracy measures; categories come from the field in `by`, else from the most likely one."""
    field = next((value for kind, value in map(_kind, by) if kind == "category"), None)
    return BeyondAccuracyContext(
        histories=context.cases.histories,
        targets=context.cases.targets,
        counts=context.counts,
        exclude_seen=exclude_seen,
        vectors=context.vectors,
        categories=_categories(context.catalog, field),
    )


def _kind(given: str) -> tuple[str, str | None]:
    kind, equals, value = given.partition("=")
    if kind not in KINDS:
        raise SettingsError(f"--by {given}: must be one of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    if equals and kind not in ("category", "popularity"):
        raise SettingsError(f"--by {given}: {kind} takes no value; write --by {kind}")
    if equals and not value:
        raise SettingsError(f"--by {given}: the value after '=' is missing; write --by {kind}, or --by {kind}=VALUE")
    if kind == "popularity" and equals and not (value.isdecimal() and 2 <= int(value) <= 20):
        raise SettingsError(f"--by {given}: popularity takes 2 to 20 parts, such as --by popularity=5")
    return kind, value or None


def _slicing(kind: str, value: str | None, context: EvaluationContext) -> Slicing | None:
    cases = context.cases
    if kind == "category":
        categories = _categories(context.catalog, value)
        return by_category(cases.targets, categories) if categories is not None else None
    makers: Mapping[str, Callable[[], Slicing]] = {
        "popularity": lambda: by_popularity(cases.targets, context.counts, int(value or 3)),
        "rarity": lambda: by_rarity(cases.targets, context.counts),
        "coldness": lambda: by_coldness(cases.targets, context.split.train, context.split.n_items),
        "history": lambda: by_history(cases.histories.lengths),
        "repeat": lambda: by_repeat(cases),
        "memorisation": lambda: by_memorisation(cases, context.transitions),
        "pattern": lambda: by_pattern(cases, context.transitions),
        "transition": lambda: by_transition(context.hops),
        "hops": lambda: by_hops(context.hops),
    }
    return makers[kind]()


def _categories(catalog: Catalog, named: str | None) -> Categories | None:
    field = named or category_field(catalog)
    return None if field is None else read_categories(catalog, field)

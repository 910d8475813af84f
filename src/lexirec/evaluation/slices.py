"""Slices: cases that are alike in something, so that one can see where a system is right.

A mean over all cases hides who is served: most recommenders live on popular targets and repeated steps. Every function
returns a `Slicing`: names of groups and the group of each case.

Legend: `C` cases, `I` items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.categories import Categories
from lexirec.evaluation.memorization import Transitions

_Integers = NDArray[np.integer[Any]]
_LENGTHS = (3, 5, 8, 13, 20)
"""Lengths at which the groups of histories begin, after the first."""
_PARTS: Mapping[int, tuple[str, ...]] = {
    2: ("head", "tail"),
    3: ("head", "middle", "tail"),
    5: ("head", "second fifth", "third fifth", "fourth fifth", "tail"),
}


@dataclass(frozen=True, eq=False)
class Slicing:
    """Groups of cases.

    Attributes:
        kind: what tells them apart, in one or two words.
        names: of the groups, in order.
        groups: the group of each case, −1 for none, int64 (C,).
        told: what the names mean, in a sentence.
    """

    kind: str
    names: tuple[str, ...]
    groups: NDArray[np.int64]
    told: str

    def counts(self) -> NDArray[np.int64]:
        """Return how many cases every group has."""
        return np.bincount(self.groups[self.groups >= 0], minlength=len(self.names))


def by_popularity(targets: _Integers, counts: _Integers, parts: int = 3) -> Slicing:
    """Divide by how popular the target is in training, into parts that carry about as many training events each.

    An item's part says how much of all training events more popular items have; items of equal counts are never
    divided. (Equal shares of *items* would put nearly all cases into the first part: counts fall like a power law.)

    Args:
        targets: (C,).
        counts: events of each item in training (I,).
        parts: 3 for thirds, 5 for fifths.
    """
    ordered = np.sort(counts)[::-1].astype(np.float64)
    above = np.concatenate([[0.0], np.cumsum(ordered)])[np.searchsorted(-ordered, -counts.astype(np.float64))]
    part = np.minimum((above / max(ordered.sum(), 1.0) * parts).astype(np.int64), parts - 1)
    part[counts == 0] = parts
    names = _PARTS.get(parts, tuple(f"part {number} of {parts}" for number in range(1, parts + 1)))
    told = (
        f"the target's popularity: each of {parts} parts has about as many training events, the head's items the most "
        "each; 'unseen' is not in training at all"
    )
    return Slicing("popularity", (*names, "unseen"), part[targets], told)


def by_coldness(targets: _Integers, train: Sequences, n_items: int) -> Slicing:
    """Divide into cold targets, which no model has ever been asked for in training, and warm ones.

    A training sequence's first item has no history, so it is read and never asked for: an item that stands nowhere else
    is cold, too.
    """
    events = train.counts(n_items)
    firsts = np.bincount(train.items[train.offsets[:-1][train.lengths > 0]], minlength=n_items)
    groups = np.where(events == 0, 2, np.where(events == firsts, 1, 0))
    told = "whether training ever asks for the target; 'first only' stands in it at the beginning of sequences alone"
    return Slicing("coldness", ("warm", "cold: first only", "cold: unseen"), groups[targets], told)


def by_history(lengths: _Integers) -> Slicing:
    """Divide by how many items the history has, (C,)."""
    starts = (1, *_LENGTHS)
    names = tuple(f"{low}–{high - 1}" for low, high in zip(starts, _LENGTHS))
    groups = np.searchsorted(_LENGTHS, lengths, side="right").astype(np.int64)
    return Slicing("history", (*names, f"{_LENGTHS[-1]}+"), groups, "the number of items in the history, as it is cut")


def by_repeat(cases: Cases) -> Slicing:
    """Divide into targets that stand in their own history and new ones."""
    rows = np.repeat(np.arange(len(cases)), cases.histories.lengths)
    repeated = np.bincount(rows[cases.histories.items == cases.targets[rows]], minlength=len(cases)) > 0
    told = "whether the target stands in the history already; where seen items are excluded it cannot be found then"
    return Slicing("repeat", ("new", "repeat"), repeated.astype(np.int64), told)


def by_category(targets: _Integers, categories: Categories, most: int = 7) -> Slicing:
    """Divide by the target's category: those with the most cases, and with one in a hundred; all others together."""
    groups = categories.of_item[targets]
    counts = np.bincount(groups[groups >= 0], minlength=len(categories.names))
    largest = np.argsort(-counts, kind="stable")[:most]
    largest = largest[100 * counts[largest] >= max(len(targets), 1)]
    place = np.full(len(categories.names) + 1, len(largest), dtype=np.int64)  # the last is that of −1
    place[largest], place[-1] = np.arange(len(largest)), len(largest) + 1
    names = (*(categories.names[number] for number in largest), "other", "unknown")
    told = f"the target's category: level {categories.level} of the field '{categories.field}'"
    return Slicing(f"category ({categories.field})", names, place[groups], told)


def by_memorisation(cases: Cases, transitions: Transitions) -> Slicing:
    """Divide into cases that memory can solve and cases that need generalisation.

    Memorisation: the step from the history's last item to the target, or from any other of its items, stood in training
    (two neighbours, in this order). Generalisation: none did. After Ding et al., arXiv 2603.19809, who find that
    generative models win the second kind and item-number models the first; that *any* item of the history may begin
    the step is ours, since all systems here read the whole history. `by_pattern` keeps the kinds apart.
    """
    groups = (_steps(cases, transitions)[0] > 1).astype(np.int64)
    told = "whether a step from an item of the history to the target was seen in training (arXiv 2603.19809)"
    return Slicing("memorisation", ("memorisation", "generalisation"), groups, told)


def by_pattern(cases: Cases, transitions: Transitions) -> Slicing:
    """Divide memorisation and generalisation further, by the strongest pattern that leads to the target.

    `last`: the step from the last item to the target was seen. `earlier`: one from an earlier item was. `composed`:
    none was, but from some item of the history the target was seen backward, or through one item between (symmetry and
    transitivity: known patterns compose it). `none`: not even that.
    """
    groups, rows = _steps(cases, transitions)
    open_ = groups[rows] == 2
    items, targets = cases.histories.items[open_], cases.targets[rows[open_]]
    composed = transitions.seen(targets, items) | transitions.through_one(items, targets)
    groups[groups == 2] = 3
    groups[rows[open_][composed]] = 2
    told = (
        "the step to the target in training: from the last item, from an earlier one, only backward or through one "
        "item between (composed), none of these"
    )
    return Slicing("pattern", ("last", "earlier", "composed", "none"), groups, told)


def _steps(cases: Cases, transitions: Transitions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return whether the step to the target was seen from the last item (0), an earlier one (1) or none (2), (C,); and
    the case of every item of all histories."""
    items, lengths = cases.histories.items, cases.histories.lengths
    rows = np.repeat(np.arange(len(cases)), lengths)
    seen = transitions.seen(items, cases.targets[rows])
    newest = np.zeros(len(items), dtype=np.bool_)
    newest[cases.histories.offsets[1:][lengths > 0] - 1] = True
    groups = np.full(len(cases), 2, dtype=np.int64)
    groups[rows[seen]] = 1
    groups[rows[seen & newest]] = 0
    return groups, rows

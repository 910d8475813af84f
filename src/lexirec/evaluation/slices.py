"""Slicings of the test cases: by popularity, coldness, history length, repeats, category, memorisation, transition.

A mean over all cases hides who is served well: most recommenders owe their hits to popular targets and repeated
transitions. Every function returns a `Slicing`: names of groups and the group of each case. The definition of head and
tail stands here (`by_popularity`); analyses and reports share it.

Legend: `C` cases, `I` items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.data.item_categories import Categories
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.memorization import MOST_HOPS, PATTERNS, Transitions

_Integers = NDArray[np.integer[Any]]
_LENGTHS = (3, 5, 8, 13, 20)
"""First length of each group of histories but the first."""
RARE = 4
"""Items with at most so many training events are rare: learned models find them hardest."""
_PARTS: Mapping[int, tuple[str, ...]] = {
    2: ("head", "tail"),
    3: ("head", "middle", "tail"),
    5: ("head", "second fifth", "third fifth", "fourth fifth", "tail"),
}


@dataclass(frozen=True, eq=False)
class Slicing:
    """A division of the cases into groups.

    Attributes:
        kind: criterion of the division, in one or two words.
        names: names of the groups, in order.
        groups: group of each case, −1 for none, int64 (C,).
        description: definition of the groups, in a sentence.
    """

    kind: str
    names: tuple[str, ...]
    groups: NDArray[np.int64]
    description: str

    def counts(self) -> NDArray[np.int64]:
        """Return the number of cases of every group."""
        return np.bincount(self.groups[self.groups >= 0], minlength=len(self.names))


def by_popularity(targets: _Integers, counts: _Integers, parts: int = 3, *, rare: int = 0) -> Slicing:
    """Slice by the target's popularity in training, into parts with about as many training events each.

    The head is the first part: the most popular items that together have a third of all training events (with `parts`
    3). An item's part follows from the share of training events that more popular items have; items of equal counts are
    never separated. Equal shares of *items* (a head of the top 20 %, as in GRAM's results) would put nearly all cases
    into the head, since counts fall like a power law.

    Args:
        targets: (C,).
        counts: events of each item in training (I,).
        parts: 3 for thirds, 5 for fifths.
        rare: put items with at most so many training events into a group of their own; 0 for none.
    """
    ordered = np.sort(counts)[::-1].astype(np.float64)
    above = np.concatenate([[0.0], np.cumsum(ordered)])[np.searchsorted(-ordered, -counts.astype(np.float64))]
    part = np.minimum((above / max(ordered.sum(), 1.0) * parts).astype(np.int64), parts - 1)
    names = _PARTS.get(parts, tuple(f"part {number} of {parts}" for number in range(1, parts + 1)))
    if rare:
        part[counts <= rare] = parts
        names = (*names, f"rare (≤ {rare} events)")
    part[counts == 0] = len(names)
    description = (
        f"popularity of the target: the items by number of training events, in {parts} parts with about as many events "
        "each, the head's items the most popular; 'unseen' is not in training at all"
    )
    return Slicing("popularity", (*names, "unseen"), part[targets], description)


def by_rarity(targets: _Integers, counts: _Integers) -> Slicing:
    """Slice into targets with more than `RARE` training events, those with fewer, and unseen ones.

    Args:
        targets: (C,).
        counts: events of each item in training (I,).
    """
    groups = np.where(counts == 0, 2, np.where(counts <= RARE, 1, 0))
    names = (f"frequent (> {RARE} events)", f"rare (≤ {RARE} events)", "unseen")
    return Slicing("rarity", names, groups[targets], "training events of the target")


def by_coldness(targets: _Integers, train: Sequences, n_items: int) -> Slicing:
    """Slice into cold targets, which are no target in training, and warm ones.

    A training sequence's first item has no history, so it is an input and never a target: an item that occurs nowhere
    else is cold, too.
    """
    events = train.counts(n_items)
    firsts = np.bincount(train.items[train.offsets[:-1][train.lengths > 0]], minlength=n_items)
    groups = np.where(events == 0, 2, np.where(events == firsts, 1, 0))
    description = "whether the item is a target in training; a 'first only' item occurs only at the start of sequences"
    return Slicing("coldness", ("warm", "cold: first only", "cold: unseen"), groups[targets], description)


def by_history(lengths: _Integers) -> Slicing:
    """Slice by the number of items in the history, (C,)."""
    starts = (1, *_LENGTHS)
    names = tuple(f"{low}–{high - 1}" for low, high in zip(starts, _LENGTHS))
    groups = np.searchsorted(_LENGTHS, lengths, side="right").astype(np.int64)
    return Slicing("history", (*names, f"{_LENGTHS[-1]}+"), groups, "number of items in the history, after truncation")


def by_repeat(cases: Cases) -> Slicing:
    """Slice into targets that occur in their own history and new ones."""
    rows = np.repeat(np.arange(len(cases)), cases.histories.lengths)
    repeated = np.bincount(rows[cases.histories.items == cases.targets[rows]], minlength=len(cases)) > 0
    description = (
        "whether the target occurs in the history; such a target cannot be found where seen items are excluded"
    )
    return Slicing("repeat", ("new", "repeat"), repeated.astype(np.int64), description)


def by_category(targets: _Integers, categories: Categories, most: int = 7) -> Slicing:
    """Slice by the target's category: the `most` largest with at least 1 % of the cases each, all others together."""
    groups = categories.of_item[targets]
    counts = np.bincount(groups[groups >= 0], minlength=len(categories.names))
    largest = np.argsort(-counts, kind="stable")[:most]
    largest = largest[100 * counts[largest] >= max(len(targets), 1)]
    group_of = np.full(len(categories.names) + 1, len(largest), dtype=np.int64)  # the last entry is that of −1
    group_of[largest], group_of[-1] = np.arange(len(largest)), len(largest) + 1
    names = (*(categories.names[number] for number in largest), "other", "unknown")
    description = f"category of the target: level {categories.level} of the field '{categories.field}'"
    return Slicing(f"category ({categories.field})", names, group_of[groups], description)


def by_memorisation(cases: Cases, transitions: Transitions) -> Slicing:
    """Slice into cases that memorised transitions can solve and cases that need generalisation.

    Memorisation: the transition to the target from the history's last item, or from any other of its items, occurred in
    training (adjacent, in this order). Generalisation: none did. After Ding et al., arXiv 2603.19809, who find that
    generative models win the second kind and item-number models the first; that *any* item of the history may begin
    the transition is ours, since all systems here read the whole history. `by_pattern` distinguishes the kinds;
    `by_transition` has the paper's definitions.
    """
    groups = (_transition_groups(cases, transitions)[0] > 1).astype(np.int64)
    description = (
        "whether a transition from an item of the history to the target occurred in training (arXiv 2603.19809)"
    )
    return Slicing("memorisation", ("memorisation", "generalisation"), groups, description)


def by_pattern(cases: Cases, transitions: Transitions) -> Slicing:
    """Slice memorisation and generalisation further, by the strongest training pattern that leads to the target.

    `last`: the transition from the last item to the target occurred. `earlier`: one from an earlier item did.
    `composed`: none did, but for some item of the history the reverse transition did, or two transitions through one
    item between (symmetry and transitivity). `none`: not even that.
    """
    groups, rows = _transition_groups(cases, transitions)
    open_ = groups[rows] == 2
    items, targets = cases.histories.items[open_], cases.targets[rows[open_]]
    composed = transitions.seen(targets, items) | transitions.through_one(items, targets)
    groups[groups == 2] = 3
    groups[rows[open_][composed]] = 2
    description = (
        "the transition to the target in training: from the last item, from an earlier one, only backward or through "
        "one item between (composed), none of these"
    )
    return Slicing("pattern", ("last", "earlier", "composed", "none"), groups, description)


def by_transition(hops: NDArray[np.int8]) -> Slicing:
    """Slice as arXiv 2603.19809 does: memorised cases, those that a pattern of training leads to, and the others.

    A case with several patterns is in the group of the first of `memorization.PATTERNS`: those that need one training
    example come before those that combine two. The paper lists such a case under each.

    Args:
        hops: from `memorization.fewest_hops`, (C, P); −1 in the rows of memorised cases.
    """
    found = hops > 0
    groups = np.where(found.any(axis=1), found.argmax(axis=1) + 1, len(PATTERNS) + 1)
    groups[(hops < 0).any(axis=1)] = 0
    description = (
        "what training shows of the transition to the target (arXiv 2603.19809): from the last item (memorisation), "
        f"from the last {MOST_HOPS} at some distance (substitution), backward (symmetry), over one item between "
        "(transitivity), over an item before or after both (second-order symmetry), nothing (uncategorised)"
    )
    return Slicing("transition", ("memorisation", *PATTERNS, "uncategorised"), groups.astype(np.int64), description)


def by_hops(hops: NDArray[np.int8]) -> Slicing:
    """Slice by the fewest hops of any training pattern that leads to the target; arguments as for `by_transition`."""
    fewest = np.where(hops > 0, hops, MOST_HOPS + 1).min(axis=1).astype(np.int64)
    fewest[(hops < 0).any(axis=1)] = 0
    names = ("1 hop", *(f"{count} hops" for count in range(2, MOST_HOPS + 1)))
    description = (
        "fewest hops in which a pattern of training leads to the target (arXiv 2603.19809): k hops begin at one of the "
        "last k items, and training shows their transitions at most k places apart"
    )
    return Slicing("hops", ("memorisation", *names, "uncategorised"), fewest, description)


def _transition_groups(cases: Cases, transitions: Transitions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return whether the target followed the last item (0), an earlier one (1) or none (2) in training, (C,), and the
    case of every item of all histories."""
    items, lengths = cases.histories.items, cases.histories.lengths
    rows = np.repeat(np.arange(len(cases)), lengths)
    seen = transitions.seen(items, cases.targets[rows])
    newest = np.zeros(len(items), dtype=np.bool_)
    newest[cases.histories.offsets[1:][lengths > 0] - 1] = True
    groups = np.full(len(cases), 2, dtype=np.int64)
    groups[rows[seen]] = 1
    groups[rows[seen & newest]] = 0
    return groups, rows

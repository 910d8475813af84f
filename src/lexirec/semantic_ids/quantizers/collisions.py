"""Collisions: items that share all their codes, and the rules by which every item gets codes of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.config import Settings
from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.quantizers.assignment import squared_distances, whole_groups

LEAST_ENTROPY = 0.003
"""Of Sinkhorn's method on distances scaled to −1 … 1; a smaller one leaves double precision."""


class CollisionSettings(Settings):
    """What becomes of items that share all their codes."""

    rule: Literal["level", "nearest-free", "sinkhorn", "none"] = "level"
    """`level`: a further level counts the items of a group, 0 for all others. `nearest-free`: all but the nearest item
    of a group move to the nearest code of the last level that is free below their prefix. `sinkhorn`: groups are spread
    over the codes of the last level in rounds. Both leave to a further level what they cannot tell apart. `none`: codes
    stay shared; spelling then adds a counter to theirs alone."""
    rounds: Annotated[int, Field(ge=1)] = 20
    """Most rounds of `sinkhorn`."""
    entropy: Annotated[float, Field(ge=LEAST_ENTROPY)] = LEAST_ENTROPY
    """Entropy of `sinkhorn`, against distances scaled to −1 … 1."""
    iterations: Annotated[int, Field(ge=1)] = 50
    """Iterations of `sinkhorn` in a round."""


@dataclass(frozen=True, eq=False)
class LastLevel:
    """What items chose their last code from.

    Attributes:
        residuals: float32 (n_items, d), what the levels before the last have left of each item.
        centroids: float32 (k, d), the codes of the last level.
    """

    residuals: NDArray[np.float32]
    centroids: NDArray[np.float32]


@dataclass(frozen=True)
class CollisionCount:
    """How many items share all their codes with others.

    Attributes:
        total: All items.
        items: Items that share their codes.
        groups: Groups of items with equal codes.
        largest: Items of the largest such group; 0 without any.
    """

    total: int
    items: int
    groups: int
    largest: int

    @property
    def rate(self) -> float:
        """Share of the items that would have to change for all to differ: (items − distinct codes) / items."""
        return (self.items - self.groups) / self.total

    def __str__(self) -> str:
        """Say it in a line."""
        if not self.groups:
            return "none"
        return f"{self.items:,} items in {self.groups:,} groups of up to {self.largest:,} ({self.rate:.2%} too many)"

    @classmethod
    def of(cls, values: NDArray[np.int32]) -> CollisionCount:
        """Count the collisions of codes (n_items, levels)."""
        sizes = np.bincount(same_codes(values))
        shared = sizes[sizes > 1]
        return cls(len(values), int(shared.sum()), len(shared), int(shared.max(initial=0)))


@dataclass(frozen=True)
class Collisions:
    """What a collision rule found and did.

    Attributes:
        rule: The rule.
        before: Collisions of the codes as they were given.
        repaired: Collisions after items moved within the last level, before a further level.
        after: Collisions that are left: none, unless the rule is `none`.
        moved: Items whose code of the last given level changed.
    """

    rule: str
    before: CollisionCount
    repaired: CollisionCount
    after: CollisionCount
    moved: int

    @property
    def numbered(self) -> int:
        """Items that only the further level tells from others."""
        return self.repaired.items - self.after.items

    def summary(self) -> dict[str, str]:
        """Return what happened, in words and numbers."""
        return {
            "collisions before": str(self.before),
            f"moved by the rule '{self.rule}'": f"{self.moved:,} items",
            "told apart by a further level": f"{self.numbered:,} items",
            "collisions after": str(self.after),
        }


@dataclass(frozen=True, eq=False)
class Settled:
    """Codes after a collision rule: unless it is `none`, no two items have the same; and what the rule did."""

    codes: Codes
    collisions: Collisions


def settle(
    values: NDArray[np.int32], settings: CollisionSettings | None = None, last: LastLevel | None = None
) -> Settled:
    """Apply a collision rule to residual codes.

    A further level is added only where it is needed: it counts 0, 1, 2, … the items of a group in catalogue order and
    is 0 for everyone else, so that the codes stay a rectangle. Identifiers cut behind the token that tells an item from
    all others (`cut="shortest-unique"`) have it only where it says something.

    Args:
        values: int32 (n_items, levels).
        settings: The rule.
        last: Needed by the rules `nearest-free` and `sinkhorn`.

    Raises:
        SettingsError: the rule needs vectors and there are none.
    """
    settings = settings or CollisionSettings()
    if settings.rule in ("nearest-free", "sinkhorn") and last is None:
        raise SettingsError(
            f"the collision rule '{settings.rule}' needs the items' vectors, and these codes came without; "
            "give them, or use 'level'"
        )
    repaired = np.array(values, dtype=np.int32)
    if settings.rule == "nearest-free" and last is not None:
        _move_to_free(repaired, last)
    if settings.rule == "sinkhorn" and last is not None:
        _spread_in_rounds(repaired, last, settings)
    left = CollisionCount.of(repaired)
    final = repaired if settings.rule == "none" or not left.groups else _numbered(repaired)
    moved = int((repaired != values).any(axis=1).sum())
    collisions = Collisions(settings.rule, CollisionCount.of(values), left, CollisionCount.of(final), moved)
    return Settled(Codes(final, "residual"), collisions)


def same_codes(values: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return a number for each item that those with equal codes share: int64 (n_items,), 0 … without gaps."""
    return Codes(values, "residual").prefixes(values.shape[1] - 1)


def _numbered(values: NDArray[np.int32]) -> NDArray[np.int32]:
    groups = same_codes(values)
    order = np.argsort(groups, kind="stable")
    counter = np.empty(len(values), dtype=np.int32)
    counter[order] = _places(groups[order])
    return np.column_stack([values, counter])


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each row among those of its group, where the rows of a group stand together."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(np.append(starts, len(groups)))
    return np.asarray(np.arange(len(groups)) - np.repeat(starts, sizes), dtype=np.int64)


# ------------------------------------------------------------------------------------------------------ nearest free


def _move_to_free(values: NDArray[np.int32], last: LastLevel) -> None:
    """Move, in place, all but the nearest item of each group to free codes below its prefix."""
    groups = same_codes(values)
    shared = np.flatnonzero(np.bincount(groups)[groups] > 1)
    if not len(shared):
        return
    away = ((last.residuals[shared] - last.centroids[values[shared, -1]]) ** 2).sum(axis=1)
    shared = shared[np.lexsort((away, groups[shared]))]
    movers = shared[_places(groups[shared]) > 0]
    parents = same_codes(values[:, :-1]) if values.shape[1] > 1 else np.zeros(len(values), dtype=np.int64)
    movers = movers[np.argsort(parents[movers], kind="stable")]
    for block in whole_groups(parents[movers], len(last.centroids)):
        _place(values, movers[block], parents, last)


def _place(values: NDArray[np.int32], movers: NDArray[np.int64], parents: NDArray[np.int64], last: LastLevel) -> None:
    """Give movers, in place, the nearest free codes: in rounds, of those that want one code the nearest gets it."""
    prefixes, row = np.unique(parents[movers], return_inverse=True)
    neighbors = np.flatnonzero(np.isin(parents, prefixes))
    taken = np.zeros((len(prefixes), len(last.centroids)), dtype=np.bool_)
    taken[np.searchsorted(prefixes, parents[neighbors]), values[neighbors, -1]] = True
    distances = squared_distances(last.residuals[movers], last.centroids)
    waiting = np.flatnonzero(~taken[row].all(axis=1))
    while len(waiting):
        wishes = np.where(taken[row[waiting]], np.float32(np.inf), distances[waiting])
        code, away = wishes.argmin(axis=1), wishes.min(axis=1)
        wanted = row[waiting] * len(last.centroids) + code
        order = np.lexsort((away, wanted))
        winners = order[_places(wanted[order]) == 0]
        values[movers[waiting[winners]], -1] = code[winners]
        taken[row[waiting[winners]], code[winners]] = True
        waiting = np.delete(waiting, winners)
        waiting = waiting[~taken[row[waiting]].all(axis=1)]  # a full prefix has no room for the rest


# ---------------------------------------------------------------------------------------------------------- Sinkhorn


def _spread_in_rounds(values: NDArray[np.int32], last: LastLevel, settings: CollisionSettings) -> None:
    """Spread groups, in place, over the codes of the last level until none is left or a round changes nothing."""
    for _ in range(settings.rounds):
        groups = same_codes(values)
        rows = np.flatnonzero(np.bincount(groups)[groups] > 1)
        rows = rows[np.argsort(groups[rows], kind="stable")]
        before = values[rows, -1].copy()
        for block in whole_groups(groups[rows], len(last.centroids)):
            distances = squared_distances(last.residuals[rows[block]], last.centroids)
            values[rows[block], -1] = spread(distances, groups[rows[block]], settings.entropy, settings.iterations)
        if (values[rows, -1] == before).all():
            return


def spread(
    distances: NDArray[np.floating], groups: NDArray[np.int64], entropy: float, iterations: int
) -> NDArray[np.int64]:
    """Choose a code for each row so that the codes of each group are used evenly (Sinkhorn), all groups at once.

    Each group's distances are scaled to −1 … 1; Q = exp(−d / entropy) is normalised in turn so that every row has the
    same sum and every code has the same sum; each row takes its largest entry.

    Source: LC-Rec and MiniOneRec, which run it group by group.

    Args:
        distances: (rows, k), the rows of a group standing together.
        groups: int64 (rows,), the group of each row.
        entropy: At least `LEAST_ENTROPY`.
        iterations: Of the two normalisations.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(np.append(starts, len(groups)))
    high = np.maximum.reduceat(distances.max(axis=1), starts).astype(np.float64)
    low = np.minimum.reduceat(distances.min(axis=1), starts).astype(np.float64)
    amplitude = (high - low) / 2 + 1e-5
    shares = np.exp(-(distances - np.repeat(low, sizes)[:, None]) / np.repeat(amplitude, sizes)[:, None] / entropy)
    tiny = np.finfo(np.float64).tiny
    for _ in range(iterations):
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), tiny) * np.repeat(sizes, sizes)[:, None]
        columns = np.maximum(np.add.reduceat(shares, starts, axis=0), tiny) * distances.shape[1]
        shares /= np.repeat(columns, sizes, axis=0)
    return np.asarray(shares.argmax(axis=1), dtype=np.int64)

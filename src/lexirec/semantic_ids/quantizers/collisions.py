"""Collisions of semantic-ID codes: items that share all their codes, and the rules that give every item its own."""

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
"""Least entropy of Sinkhorn's method on distances scaled to −1 … 1; smaller ones underflow in double precision."""


class CollisionSettings(Settings):
    """Settings of the rule for items that share all their codes."""

    rule: Literal["level", "nearest-free", "sinkhorn", "none"] = "level"
    """`level`: an additional level counts the items of a group, 0 for all others. `nearest-free`: all but the nearest
    item of a group move to the nearest code of the last level that is free below their prefix. `sinkhorn`: groups are
    spread over the codes of the last level in rounds. Both add a level for the collisions that remain. `none`: codes
    stay shared, and the identifiers of these items get a counter."""
    rounds: Annotated[int, Field(ge=1)] = 20
    """Most rounds of `sinkhorn`."""
    entropy: Annotated[float, Field(ge=LEAST_ENTROPY)] = LEAST_ENTROPY
    """Entropy of `sinkhorn`, against distances scaled to −1 … 1."""
    iterations: Annotated[int, Field(ge=1)] = 50
    """Iterations of `sinkhorn` in a round."""


@dataclass(frozen=True, eq=False)
class LastLevel:
    """Residuals and codes of the last level, from which items can choose another code.

    Attributes:
        residuals: float32 (n_items, d), the items' vectors minus the codes of the earlier levels.
        centroids: float32 (k, d), the codes of the last level.
    """

    residuals: NDArray[np.float32]
    centroids: NDArray[np.float32]


@dataclass(frozen=True)
class CollisionCount:
    """Number of items that share all their codes with others.

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
        """Collision rate, the share of items that would have to change: (items − distinct codes) / items."""
        return (self.items - self.groups) / self.total

    def __str__(self) -> str:
        """Return the counts as a phrase."""
        if not self.groups:
            return "none"
        groups = f"{self.groups:,} groups of up to {self.largest:,}"
        return f"{self.items:,} items in {groups} (collision rate {self.rate:.2%})"

    @classmethod
    def of(cls, values: NDArray[np.int32]) -> CollisionCount:
        """Count the collisions of codes (n_items, levels)."""
        sizes = np.bincount(same_codes(values))
        shared = sizes[sizes > 1]
        return cls(len(values), int(shared.sum()), len(shared), int(shared.max(initial=0)))


@dataclass(frozen=True)
class Collisions:
    """Counts before and after a collision rule.

    Attributes:
        rule: The rule.
        before: Collisions of the given codes.
        repaired: Collisions after items moved within the last level, before an additional level.
        after: Remaining collisions: none, unless the rule is `none`.
        moved: Items whose code of the last given level changed.
    """

    rule: str
    before: CollisionCount
    repaired: CollisionCount
    after: CollisionCount
    moved: int

    @property
    def numbered(self) -> int:
        """Items that only the additional level distinguishes from others."""
        return self.repaired.items - self.after.items

    def summary(self) -> dict[str, str]:
        """Return the counts as labelled phrases, for reports."""
        return {
            "collisions before": str(self.before),
            f"moved by the rule '{self.rule}'": f"{self.moved:,} items",
            "distinguished by an additional level": f"{self.numbered:,} items",
            "collisions after": str(self.after),
        }


@dataclass(frozen=True, eq=False)
class Settled:
    """Codes after a collision rule, unique unless the rule is `none`, and the counts of collisions."""

    codes: Codes
    collisions: Collisions


def settle(
    values: NDArray[np.int32], settings: CollisionSettings | None = None, last: LastLevel | None = None
) -> Settled:
    """Apply a collision rule to residual codes.

    A level is added only if collisions remain: it counts the items of a group 0, 1, 2, … in catalogue order and is 0
    for all other items, so that all items have equally many codes. Identifiers cut at their shortest unique prefix
    (`cut="shortest-unique"`) contain it only where it is needed.

    Args:
        values: int32 (n_items, levels).
        settings: The rule.
        last: Needed by the rules `nearest-free` and `sinkhorn`.

    Raises:
        SettingsError: the rule needs vectors, and `last` is missing.
    """
    settings = settings or CollisionSettings()
    if settings.rule in ("nearest-free", "sinkhorn") and last is None:
        raise SettingsError(
            f"the collision rule '{settings.rule}' needs the items' vectors, and these codes have none; "
            "give vectors, or use 'level'"
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
    """Return the group of equal codes of each item: int64 (n_items,), numbered 0 … without gaps."""
    return Codes(values, "residual").prefixes(values.shape[1] - 1)


def _numbered(values: NDArray[np.int32]) -> NDArray[np.int32]:
    groups = same_codes(values)
    order = np.argsort(groups, kind="stable")
    counter = np.empty(len(values), dtype=np.int32)
    counter[order] = _ranks(groups[order])
    return np.column_stack([values, counter])


def _ranks(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each row within its group; the rows of a group are consecutive."""
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
    movers = shared[_ranks(groups[shared]) > 0]
    parents = same_codes(values[:, :-1]) if values.shape[1] > 1 else np.zeros(len(values), dtype=np.int64)
    movers = movers[np.argsort(parents[movers], kind="stable")]
    for block in whole_groups(parents[movers], len(last.centroids)):  # prefixes are independent of each other
        _place(values, movers[block], parents, last)


def _place(values: NDArray[np.int32], movers: NDArray[np.int64], parents: NDArray[np.int64], last: LastLevel) -> None:
    """Give movers, in place, the nearest free codes: in rounds, the nearest of those that want a code gets it."""
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
        winners = order[_ranks(wanted[order]) == 0]
        values[movers[waiting[winners]], -1] = code[winners]
        taken[row[waiting[winners]], code[winners]] = True
        waiting = np.delete(waiting, winners)
        waiting = waiting[~taken[row[waiting]].all(axis=1)]  # below a full prefix the rest keep their codes


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

    Each group's distances are scaled to −1 … 1; Q = exp(−d / entropy) is normalised alternately so that all rows and
    all codes have equal sums; each row takes its largest entry.

    Source: LC-Rec and MiniOneRec, which run it group by group.

    Args:
        distances: (rows, k), the rows of a group consecutive.
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

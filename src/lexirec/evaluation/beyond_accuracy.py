"""Beyond-accuracy measures of recommendation lists: coverage, exposure, novelty, diversity, calibration of categories.

They describe the lists as such, whatever the next item was; only serendipity looks at the target, too.

Legend: `C` cases, `K` list positions, `I` items, `D` features, `G` categories, `H` items of a history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.data.item_categories import Categories
from lexirec.data.sequences import Sequences

Lists = NDArray[np.int32]
Floats = NDArray[np.float64]
_CELLS = 4_000_000
"""Largest number of array cells held at a time."""
_SMOOTHING = 0.01
"""Steck's α: how much of the history's categories is mixed into the list's, so that the divergence stays finite."""


class Measure(NamedTuple):
    """A measure's title in tables, the direction systems usually aim for, and a one-line description."""

    title: str
    aim: str
    description: str


MEASURES: Mapping[str, Measure] = {
    "coverage": Measure("coverage", "↑", "share of the catalogue that is recommended to anybody"),
    "gini": Measure("Gini", "↓", "inequality of items' exposure: 0 all equal, 1 one item has it all"),
    "novelty": Measure("novelty", "↑", "mean self-information of the items listed, in bits"),
    "lift": Measure("popularity lift", "", "relative difference in popularity between lists and histories; 0 is equal"),
    "unexpectedness": Measure("unexpected", "↑", "share of recommended items that a popularity list would not hold"),
    "serendipity": Measure("serendipity", "↑", "share of cases with a hit that a popularity list does not have"),
    "vector_diversity": Measure("diversity, vectors", "↑", "mean cosine distance of two items of a list"),
    "category_diversity": Measure("diversity, categories", "↑", "share of pairs of a list whose categories differ"),
    "miscalibration": Measure("miscalibration", "↓", "divergence of the list's categories from the history's"),
}
"""All measures by name, in the order of tables."""


@dataclass(frozen=True, eq=False)
class BeyondAccuracyContext:
    """What the measures need besides the lists.

    Attributes:
        histories: of the cases.
        targets: of the cases, (C,).
        counts: events of each item in training, (I,).
        exclude_seen: whether items of the history were kept out of the lists.
        vectors: of items (I, D), any length; None for none.
        categories: of items; None for none.
    """

    histories: Sequences
    targets: NDArray[np.int32]
    counts: NDArray[np.int64]
    exclude_seen: bool
    vectors: NDArray[np.float32] | None = None
    categories: Categories | None = None


def beyond_accuracy(lists: Lists, context: BeyondAccuracyContext) -> dict[str, float | None]:
    """Return every measure of `MEASURES`; None where vectors or categories for it are missing.

    Args:
        lists: item numbers, best first, −1 for an empty position, (C, K); cut to the positions that count.
        context: histories, targets, popularity, vectors and categories.
    """
    counts, categories = context.counts, context.categories
    expected = popularity_reference(lists, context)
    values: dict[str, float | None] = {
        "coverage": coverage(lists, len(counts)),
        "gini": gini(exposure(lists, len(counts))),
        "novelty": novelty(lists, counts),
        "lift": popularity_lift(lists, context.histories, counts),
        "unexpectedness": float(1 - expected[lists >= 0].mean()) if (lists >= 0).any() else None,
        "serendipity": float(((lists == context.targets[:, None]) & ~expected).any(axis=1).mean()),
        "vector_diversity": None if context.vectors is None else vector_diversity(lists, context.vectors),
        "category_diversity": None,
        "miscalibration": None,
    }
    if categories is not None:
        values["category_diversity"] = category_diversity(lists, categories.of_item)
        values["miscalibration"] = miscalibration(lists, context.histories, categories)
    return values


# ------------------------------------------------------------------------------- measures of all lists together


def exposure(lists: Lists, n_items: int) -> NDArray[np.int64]:
    """How often each item is recommended, (I,)."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def coverage(lists: Lists, n_items: int) -> float:
    """Share of the catalogue that is recommended to anybody (Ge, Delgado-Battenfeld and Jannach, RecSys 2010)."""
    return float((exposure(lists, n_items) > 0).mean())


def gini(amounts: NDArray[np.integer[Any]]) -> float:
    """Gini coefficient of amounts (n,), of exposure as in Fleder and Hosanagar (Management Science 2009).

    Σ (2 i − n − 1) x_(i) / (n Σ x) over the amounts in rising order: 0 where all are equal, 1 − 1/n where one has all.
    """
    ordered, n = np.sort(amounts).astype(np.float64), len(amounts)
    total = ordered.sum()
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * total)) if total else 0.0


def novelty(lists: Lists, counts: NDArray[np.int64]) -> float:
    """Mean self-information −log2 p of the items listed, in bits (Zhou et al., PNAS 2010; Vargas and Castells, 2011).

    p is an item's share of training events, each item's count raised by one so that unseen items have one, too.
    """
    information = np.log2(counts.sum() + len(counts)) - np.log2(counts + 1.0)
    listed = lists[lists >= 0]
    return float(information[listed].mean()) if listed.size else 0.0


def popularity_lift(lists: Lists, histories: Sequences, counts: NDArray[np.int64]) -> float:
    """Relative difference between the mean popularity of lists and of histories (Abdollahpouri et al., RecSys 2020).

    Popularity is an item's training events, averaged over a list, then over cases, and likewise over histories.
    """
    of_lists, listed = _row_means(np.where(lists >= 0, counts[lists], 0), lists >= 0)
    lengths = histories.lengths
    nonempty = lengths > 0
    rows = np.repeat(np.arange(len(histories)), lengths)
    of_histories = np.bincount(rows, counts[histories.items], len(histories))[nonempty] / lengths[nonempty]
    before = of_histories.mean() if nonempty.any() else 0.0
    return float(of_lists[listed].mean() / before - 1) if before and listed.any() else 0.0


def popularity_reference(lists: Lists, context: BeyondAccuracyContext) -> NDArray[np.bool_]:
    """Which recommended items a popularity list under the same protocol would hold, too: bool (C, K).

    The popularity list is the primitive recommender of Ge et al. (RecSys 2010): items that it lacks are unexpected and,
    where they hit, serendipitous. It is as long as the lists, leaves out seen items where those are excluded, and
    ranks equal counts by item number.
    """
    n_items, places = len(context.counts), lists.shape[1]
    rank = np.empty(n_items + 1, dtype=np.int64)
    rank[np.argsort(-context.counts, kind="stable")] = np.arange(n_items)
    rank[-1] = n_items  # −1, an empty position
    of_lists: NDArray[np.int64] = rank[lists]
    expected: NDArray[np.bool_] = of_lists < places
    if not context.exclude_seen:
        return expected
    longest = int(context.histories.lengths.max(initial=0))
    seen = np.sort(rank[context.histories.padded(longest)], axis=1)
    seen[:, 1:][seen[:, 1:] == seen[:, :-1]] = n_items  # an item that is twice in a history counts once
    # The position of an item is its popularity rank less the seen items that are more popular.
    for rows in _batches(len(lists), places * max(longest, 1)):
        ahead = (seen[rows, None, :] < of_lists[rows, :, None]).sum(axis=2)
        expected[rows] = of_lists[rows] - ahead < places
    return expected


# ---------------------------------------------------------------------- measures of single lists, averaged


def vector_diversity(lists: Lists, vectors: NDArray[np.float32]) -> float:
    """Mean cosine distance of two items of a list (Smyth and McClave, ICCBR 2001; Ziegler et al., WWW 2005).

    Computed without forming pairs: |Σ u|² = Σ |u|² + the sum of u·v over ordered pairs. An item whose vector is zero is
    similar to no other. Lists of fewer than two items are left out.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    units = np.concatenate([units, np.zeros_like(units[:1])])  # the last row is that of −1, an empty position
    total, own = np.empty(len(lists)), np.empty(len(lists))
    for rows in _batches(len(lists), lists.shape[1] * vectors.shape[1]):
        listed = units[lists[rows]]
        total[rows] = (listed.sum(axis=1, dtype=np.float64) ** 2).sum(axis=1)
        own[rows] = (listed.astype(np.float64) ** 2).sum(axis=(1, 2))
    lengths = (lists >= 0).sum(axis=1)
    pairs = (lengths * (lengths - 1))[lengths > 1]
    return float((1 - (total - own)[lengths > 1] / pairs).mean()) if pairs.size else 0.0


def category_diversity(lists: Lists, of_item: NDArray[np.int64]) -> float:
    """Mean share of pairs of a list whose categories differ; unknown ones, and lists of fewer than two, left out."""
    groups = np.sort(np.where(lists >= 0, of_item[lists], -1), axis=1)
    # Sorted rows turn equal categories into runs; a run of n items holds n (n − 1) ordered pairs of one category.
    starts = np.ones(groups.shape, dtype=np.bool_)
    starts[:, 1:] = groups[:, 1:] != groups[:, :-1]
    run = np.cumsum(starts.ravel()) - 1
    sizes = np.bincount(run)
    known = groups.ravel()[starts.ravel()] >= 0
    row = np.flatnonzero(starts.ravel()) // groups.shape[1]
    alike = np.bincount(row[known], (sizes * (sizes - 1))[known], len(lists))
    lengths = (groups >= 0).sum(axis=1)
    pairs = lengths * (lengths - 1)
    return float((1 - alike[pairs > 0] / pairs[pairs > 0]).mean()) if (pairs > 0).any() else 0.0


def miscalibration(lists: Lists, histories: Sequences, categories: Categories) -> float:
    """Mean divergence of the list's categories from the history's, in nats (Steck, RecSys 2018, C_KL).

    Σ_g p(g) ln(p(g) / q̃(g)) with p the shares of the history, q̃ those of the list with 1 % of p mixed in: 0 where
    list and history have the same shares. Cases without a known category on either side are left out.
    """
    of_item, groups, places = categories.of_item, len(categories.names), lists.shape[1]
    listed = np.where(lists >= 0, of_item[lists], -1)
    divergences = np.full(len(lists), np.nan)
    for rows in _batches(len(lists), 2 * groups):
        size = len(listed[rows])
        part = histories.take(np.arange(len(lists))[rows])
        row = np.repeat(np.arange(size), part.lengths)
        p = _shares(row, of_item[part.items], (size, groups))
        q = _shares(np.repeat(np.arange(size), places), listed[rows].ravel(), (size, groups))
        mixed = (1 - _SMOOTHING) * q + _SMOOTHING * p
        terms = np.log(p, out=np.zeros_like(p), where=p > 0) - np.log(mixed, out=np.zeros_like(p), where=mixed > 0)
        categorised = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
        divergences[rows] = np.where(categorised, (p * terms).sum(axis=1), np.nan)
    return 0.0 if np.isnan(divergences).all() else float(np.nanmean(divergences))


def _shares(rows: NDArray[np.int64], groups: NDArray[np.int64], shape: tuple[int, int]) -> Floats:
    """Shares of the groups in every row; a row without known groups is zero."""
    known = groups >= 0
    counts = np.bincount(rows[known] * shape[1] + groups[known], minlength=shape[0] * shape[1]).reshape(shape)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _row_means(values: NDArray[np.int64], there: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean of each row's values that are there, and which rows have any."""
    lengths = there.sum(axis=1)
    means: Floats = values.sum(axis=1) / np.maximum(lengths, 1)
    return means, lengths > 0


def _batches(rows: int, cells: int) -> list[slice]:
    """Divide rows into batches of at most `_CELLS` cells, `cells` per row."""
    size = max(1, _CELLS // max(cells, 1))
    return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]


def mean_of_seeds(seeds: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean of each measure over seeds; None where no seed has it."""
    return {name: _mean([values[name] for values in seeds]) for name in seeds[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

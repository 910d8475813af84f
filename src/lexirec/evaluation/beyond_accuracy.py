"""Beyond accuracy: what a system's lists are like as lists, whoever is right about the next item.

Legend: `C` cases, `K` places, `I` items, `D` features, `G` categories, `H` items of a history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.evaluation.categories import Categories

Lists = NDArray[np.int32]
Floats = NDArray[np.float64]
_CELLS = 4_000_000
"""Numbers held at a time."""
_SMOOTHING = 0.01
"""Steck's α: how much of the history's categories is mixed into the list's, so that the divergence stays finite."""


class Measure(NamedTuple):
    """What a measure is called, which way systems usually aim, and what it says."""

    title: str
    aim: str
    told: str


MEASURES: Mapping[str, Measure] = {
    "coverage": Measure("coverage", "↑", "share of the catalogue that stands in any list"),
    "gini": Measure("Gini", "↓", "inequality of items' exposure: 0 all alike, 1 one item has it all"),
    "novelty": Measure("novelty", "↑", "mean self-information of the items listed, in bits"),
    "lift": Measure("popularity lift", "", "how much more popular lists are than histories, as a share; 0 as popular"),
    "unexpectedness": Measure("unexpected", "↑", "share of listed items that a popularity list would not hold"),
    "serendipity": Measure("serendipity", "↑", "share of cases with a hit that a popularity list does not have"),
    "vector_diversity": Measure("diversity, vectors", "↑", "mean cosine distance of two items of a list"),
    "category_diversity": Measure("diversity, categories", "↑", "share of pairs of a list of two categories"),
    "miscalibration": Measure("miscalibration", "↓", "divergence of the list's categories from the history's"),
}
"""All measures by name, in the order of tables."""


@dataclass(frozen=True, eq=False)
class BeyondAccuracyContext:
    """What lists are judged by.

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


def beyond_accuracy(lists: Lists, around: BeyondAccuracyContext) -> dict[str, float | None]:
    """Return every measure of `MEASURES`; None where vectors or categories for it are missing.

    Args:
        lists: item numbers, best first, −1 where a place is empty, (C, K); cut to the places that count.
        around: what they are judged by.
    """
    counts, categories = around.counts, around.categories
    expected = popularity_reference(lists, around)
    found: dict[str, float | None] = {
        "coverage": coverage(lists, len(counts)),
        "gini": gini(exposure(lists, len(counts))),
        "novelty": novelty(lists, counts),
        "lift": popularity_lift(lists, around.histories, counts),
        "unexpectedness": float(1 - expected[lists >= 0].mean()) if (lists >= 0).any() else None,
        "serendipity": float(((lists == around.targets[:, None]) & ~expected).any(axis=1).mean()),
        "vector_diversity": None if around.vectors is None else vector_diversity(lists, around.vectors),
        "category_diversity": None,
        "miscalibration": None,
    }
    if categories is not None:
        found["category_diversity"] = category_diversity(lists, categories.of_item)
        found["miscalibration"] = miscalibration(lists, around.histories, categories)
    return found


# --------------------------------------------------------------------------------------------------- of all lists


def exposure(lists: Lists, n_items: int) -> NDArray[np.int64]:
    """Return how often each item is recommended, (I,)."""
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
    """How much more popular lists are than histories, as a share of the latter (Abdollahpouri et al., RecSys 2020).

    Popularity is an item's training events, averaged over a list, then over cases, and likewise over histories.
    """
    of_lists, listed = _row_means(np.where(lists >= 0, counts[lists], 0), lists >= 0)
    lengths = histories.lengths
    told = lengths > 0
    rows = np.repeat(np.arange(len(histories)), lengths)
    of_histories = np.bincount(rows, counts[histories.items], len(histories))[told] / lengths[told]
    before = of_histories.mean() if told.any() else 0.0
    return float(of_lists[listed].mean() / before - 1) if before and listed.any() else 0.0


def popularity_reference(lists: Lists, around: BeyondAccuracyContext) -> NDArray[np.bool_]:
    """Return which listed items a list of the most popular items, made alike, would hold: (C, K).

    It is the primitive recommender of Ge et al. (RecSys 2010) against which lists are unexpected and, where they hit,
    serendipitous: as long, without seen items where those are excluded, equal counts to the smaller item number.
    """
    n_items, places = len(around.counts), lists.shape[1]
    rank = np.empty(n_items + 1, dtype=np.int64)
    rank[np.argsort(-around.counts, kind="stable")] = np.arange(n_items)
    rank[-1] = n_items  # an empty place
    of_lists: NDArray[np.int64] = rank[lists]
    found: NDArray[np.bool_] = of_lists < places
    if not around.exclude_seen:
        return found
    longest = int(around.histories.lengths.max(initial=0))
    seen = np.sort(rank[around.histories.padded(longest)], axis=1)
    seen[:, 1:][seen[:, 1:] == seen[:, :-1]] = n_items  # an item counts once
    for rows in _batches(len(lists), places * max(longest, 1)):
        ahead = (seen[rows, None, :] < of_lists[rows, :, None]).sum(axis=2)
        found[rows] = of_lists[rows] - ahead < places
    return found


# ------------------------------------------------------------------------------------------------- within each list


def vector_diversity(lists: Lists, vectors: NDArray[np.float32]) -> float:
    """Mean cosine distance of two items of a list (Smyth and McClave, ICCBR 2001; Ziegler et al., WWW 2005).

    The mean over pairs follows from the length of the sum of a list's unit vectors: no pair is looked at. An item whose
    vector is zero is like no other. Lists of fewer than two items are left out.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    units = np.concatenate([units, np.zeros_like(units[:1])])  # the last is that of an empty place
    total, own = np.empty(len(lists)), np.empty(len(lists))
    for rows in _batches(len(lists), lists.shape[1] * vectors.shape[1]):
        listed = units[lists[rows]]
        total[rows] = (listed.sum(axis=1, dtype=np.float64) ** 2).sum(axis=1)
        own[rows] = (listed.astype(np.float64) ** 2).sum(axis=(1, 2))
    lengths = (lists >= 0).sum(axis=1)
    pairs = (lengths * (lengths - 1))[lengths > 1]
    return float((1 - (total - own)[lengths > 1] / pairs).mean()) if pairs.size else 0.0


def category_diversity(lists: Lists, of_item: NDArray[np.int64]) -> float:
    """Mean share of pairs of a list that are of two categories; unknown ones, and lists of fewer than two, left out."""
    groups = np.sort(np.where(lists >= 0, of_item[lists], -1), axis=1)
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

    Σ_g p(g) ln(p(g) / q̃(g)) with p the shares of the history, q̃ those of the list with 1 % of p mixed in: 0 where a
    list is as mixed as the history. Cases without a known category on either side are left out.
    """
    of_item, groups, places = categories.of_item, len(categories.names), lists.shape[1]
    listed = np.where(lists >= 0, of_item[lists], -1)
    found = np.full(len(lists), np.nan)
    for rows in _batches(len(lists), 2 * groups):
        size = len(listed[rows])
        part = histories.take(np.arange(len(lists))[rows])
        row = np.repeat(np.arange(size), part.lengths)
        p = _shares(row, of_item[part.items], (size, groups))
        q = _shares(np.repeat(np.arange(size), places), listed[rows].ravel(), (size, groups))
        mixed = (1 - _SMOOTHING) * q + _SMOOTHING * p
        terms = np.log(p, out=np.zeros_like(p), where=p > 0) - np.log(mixed, out=np.zeros_like(p), where=mixed > 0)
        told = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
        found[rows] = np.where(told, (p * terms).sum(axis=1), np.nan)
    return 0.0 if np.isnan(found).all() else float(np.nanmean(found))


def _shares(rows: NDArray[np.int64], groups: NDArray[np.int64], shape: tuple[int, int]) -> Floats:
    """Return the shares of the groups in every row; a row without known groups is zero."""
    known = groups >= 0
    counts = np.bincount(rows[known] * shape[1] + groups[known], minlength=shape[0] * shape[1]).reshape(shape)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _row_means(values: NDArray[np.int64], there: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the mean of each row's values that are there, and which rows have any."""
    lengths = there.sum(axis=1)
    means: Floats = values.sum(axis=1) / np.maximum(lengths, 1)
    return means, lengths > 0


def _batches(rows: int, cells: int) -> list[slice]:
    """Divide rows so that each part needs few enough numbers, `cells` a row."""
    size = max(1, _CELLS // max(cells, 1))
    return [slice(first, min(first + size, rows)) for first in range(0, rows, size)]


def mean_of_seeds(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return each measure's mean over seeds."""
    return {name: _mean([values[name] for values in found]) for name in found[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

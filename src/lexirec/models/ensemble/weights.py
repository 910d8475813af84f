"""How much each part of a fusion counts: what may be set, what was chosen, and how it is chosen.

Weights are chosen by NDCG@10 of validation cases over a grid. One ranking pass per part gives candidates and their
terms (log-probabilities, or reciprocal ranks); every weight only adds them up anew.

Per case, a weight depends on the history's *coverage*: how often the training part saw what came after its items. The
cases are cut into bins of equal size by coverage, and every bin takes the best weight of its own curve shrunk towards
that of all cases, so that a few cases do not decide.

Legend: `C` cases, `K` candidates, `G` weights of the grid, `E` experts (parts but the lead).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.neighbors import pair_counts
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Cases, Split, unseen_cases
from lexirec.evaluation.metrics import ranks_in_scores
from lexirec.models.baselines.base import history_rows
from lexirec.models.ensemble.settings import PLACES, EnsembleSettings

Floats = NDArray[np.float32]
_DECAY = 0.6
_SWEEPS = 2
_WEIGHTS, _SUPPORT = "weights.json", "support.npy"


# -------------------------------------------------------------------------------------------------------- coverage


def support_of(train: Sequences, n_items: int) -> Floats:
    """Return how often something came soon after each item in the training part, near places first: (n_items,)."""
    counts = pair_counts(train, n_items, window=5, gap_decay=0.5, backward=0.0)
    return np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()


def coverage(histories: Sequences, support: Floats) -> Floats:
    """Return log(1 + what was seen after the history's items, the newest first): (rows,)."""
    told: Floats = np.log1p(history_rows(histories, len(support), _DECAY) @ support).astype(np.float32)
    return told


# ----------------------------------------------------------------------------------------------------------- cases


def chosen_cases(settings: EnsembleSettings, split: Split) -> tuple[Cases, dict[str, Any]]:
    """Return the validation cases on which weights are chosen, and what is to be said of them.

    Raises:
        DataError: there are none.
    """
    cases, fresh = split.validation, unseen_cases(split)
    facts: dict[str, Any] = {"chosen_on": settings.choose_on, "unseen": float(fresh.mean()) if len(fresh) else 0.0}
    if settings.choose_on == "unseen":
        cases = cases.take(np.flatnonzero(fresh))
    if not len(cases):
        raise DataError(
            f'ensemble.choose_on = "{settings.choose_on}": there is no such case; choose on "validation", hold some '
            "back with data.split.hold_back = 0.2 (leave-last-out), or set one weight with ensemble.weights = [1.0]"
        )
    cases = drawn(cases, settings.cases, settings.seed)
    return cases, {**facts, "cases": len(cases)}


def drawn(cases: Cases, most: int, seed: int) -> Cases:
    """Return the cases, or so many of them, in their order."""
    if len(cases) <= most:
        return cases
    return cases.take(np.sort(np.random.default_rng(seed).choice(len(cases), most, replace=False)))


# --------------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True, eq=False)
class EnsembleWeights:
    """How much every part but the lead counts.

    Attributes:
        values: float64 (bins, E), one row where all cases are treated alike.
        edges: float64 (bins − 1,), the coverages at which bins meet.
        option: the floor, or the constant.
        support: what coverage is computed from, (n_items,).
        tried: what the choice looked at, a row per option, expert and weight: `option`, `part`, `weight`, `ndcg@10`,
            `recall@10`.
        facts: how it was chosen, JSON values only.
    """

    values: NDArray[np.float64]
    edges: NDArray[np.float64]
    option: float
    support: Floats
    tried: tuple[dict[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def even(cls, experts: int, option: float, n_items: int) -> Self:
        """Return weights of 1: every part counts as much as the lead."""
        return cls(np.ones((1, experts)), np.empty(0), option, np.zeros(n_items, dtype=np.float32))

    def of(self, histories: Sequences) -> Floats:
        """Return the weights of the experts for each history: (rows, E)."""
        if len(self.values) == 1:
            return np.repeat(self.values, len(histories), axis=0).astype(np.float32)
        bins = np.searchsorted(self.edges, coverage(histories, self.support), side="right")
        return self.values[bins].astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `weights.json` and `support.npy`."""
        rows = {"option": self.option, "values": self.values.tolist(), "edges": self.edges.tolist()}
        told = {**rows, "facts": dict(self.facts), "tried": list(self.tried)}
        (folder / _WEIGHTS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        np.save(folder / _SUPPORT, self.support, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        try:
            told = json.loads((folder / _WEIGHTS).read_text(encoding="utf-8"))
            rows = np.asarray(told["values"], dtype=np.float64), np.asarray(told["edges"], dtype=np.float64)
            support = load_array(folder / _SUPPORT)
            return cls(*rows, told["option"], support, tuple(told["tried"]), told["facts"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{folder / _WEIGHTS}: damaged ({error}); fuse again") from None


class Candidates(NamedTuple):
    """What weights are chosen on.

    Attributes:
        items: int32 (C, K), ascending in a row, −1 beyond its candidates, which stand last.
        targets: int32 (C,).
        users: int64 (C,).
        coverages: float32 (C,).
        terms: from an option to the terms of the lead and of every expert, (C, K) each; any number beyond a row's
            candidates.
    """

    items: NDArray[np.int32]
    targets: NDArray[np.int32]
    users: NDArray[np.int64]
    coverages: Floats
    terms: Callable[[float], Sequence[Floats]]

    def gains(self, scores_CK: Floats) -> Floats:
        """Return what each case adds to NDCG@10 under these scores of its candidates: (C,)."""
        here_CK = self.items == self.targets[:, None]
        scores_CK = np.where(self.items >= 0, scores_CK, -np.inf)
        ranks = np.where(here_CK.any(axis=1), ranks_in_scores(scores_CK, here_CK.argmax(axis=1)), 0)
        listed = (ranks >= 1) & (ranks <= PLACES)
        return np.where(listed, 1 / np.log2(np.maximum(ranks, 1) + 1), 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Curves:
    """What each case gains as one expert's weight goes along the grid and the others' stay: a (C, G) per expert."""

    option: float
    weights: tuple[float, ...]
    gains: tuple[Floats, ...]

    @property
    def value(self) -> float:
        """NDCG@10 of the best weights."""
        return float(self.gains[-1].mean(axis=0).max())


def choose_weights(
    found: Candidates,
    experts: Sequence[str],
    settings: EnsembleSettings,
    support: Floats,
    facts: Mapping[str, Any] | None = None,
) -> EnsembleWeights:
    """Choose option and weights by NDCG@10; of equal ones the first in the grid is taken.

    `facts["held_out"]` says what each rule is worth where it was not chosen: users are halved, and each half is
    measured with the weights of the other.
    """
    curves = [_climb(found, option, settings.weights) for option in settings.options]
    best = max(curves, key=lambda each: each.value)
    bins = settings.bins if settings.rule == "per-case" else 1
    values, edges = _fitted(best, found.coverages, slice(None), settings, bins)
    rules = {"fixed": 1, **({"per-case": bins} if bins > 1 else {})}
    facts = {
        **(facts or {}),
        f"ndcg@{PLACES}": float(found.gains(weighed(found, best.option, values, edges)).mean()),
        "held_out": {rule: _held_out(best, found, settings, count) for rule, count in rules.items()},
    }
    rows = tuple(row for each in curves for row in _told(each, experts, settings.weights))
    return EnsembleWeights(values, edges, best.option, support, rows, facts)


def _climb(found: Candidates, option: float, grid: Sequence[float]) -> _Curves:
    """Go along the grid with one expert after the other, from 1 or what is nearest to it."""
    lead, *others = found.terms(option)
    weights = [min(grid, key=lambda weight: abs(weight - 1))] * len(others)
    gains: list[Floats] = [np.empty(0, np.float32)] * len(others)
    for _ in range(_SWEEPS if len(others) > 1 else 1):
        for expert, term in enumerate(others):
            fixed = lead + sum(weights[e] * other for e, other in enumerate(others) if e != expert)
            gains[expert] = np.stack([found.gains(fixed + weight * term) for weight in grid], axis=1)
            weights[expert] = grid[int(gains[expert].mean(axis=0).argmax())]
    return _Curves(option, tuple(weights), tuple(gains))


def _fitted(
    curves: _Curves, coverages: Floats, rows: Any, settings: EnsembleSettings, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights (bins, E) that suit these rows best, and the edges of the bins."""
    coverages = coverages[rows]
    edges = np.unique(np.quantile(coverages, np.arange(1, bins) / bins)) if bins > 1 else np.empty(0)
    bin_of = np.searchsorted(edges, coverages, side="right")
    grid = np.asarray(settings.weights, dtype=np.float64)
    values = np.empty((len(edges) + 1, len(curves.gains)))
    for expert, gains_CG in enumerate(curves.gains):
        of_all = gains_CG[rows].mean(axis=0)
        for number in range(len(values)):
            own = gains_CG[rows][bin_of == number].sum(axis=0) if bins > 1 else of_all
            values[number, expert] = grid[int((own + settings.shrink * of_all).argmax())]
    return values, edges.astype(np.float64)


def weighed(found: Candidates, option: float, values: NDArray[np.float64], edges: NDArray[np.float64]) -> Floats:
    """Return the candidates' scores (C, K) under weights (bins, E) of bins that meet at these edges."""
    lead, *others = found.terms(option)
    weights = values[np.searchsorted(edges, found.coverages, side="right")].astype(np.float32)
    scores: Floats = lead + sum(weights[:, e, None] * other for e, other in enumerate(others))
    return scores


def _held_out(curves: _Curves, found: Candidates, settings: EnsembleSettings, bins: int) -> float:
    half = found.users % 2 == 0
    gains = np.zeros(len(half), dtype=np.float32)
    for here in (half, ~half):
        if here.all() or not here.any():
            return float("nan")
        values, edges = _fitted(curves, found.coverages, ~here, settings, bins)
        gains[here] = found.gains(weighed(found, curves.option, values, edges))[here]
    return float(gains.mean())


def _told(curves: _Curves, experts: Sequence[str], grid: Sequence[float]) -> Iterator[dict[str, Any]]:
    for name, gains_CG in zip(experts, curves.gains, strict=True):
        for weight, gains in zip(grid, gains_CG.T, strict=True):
            figures = {f"ndcg@{PLACES}": float(gains.mean()), f"recall@{PLACES}": float((gains > 0).mean())}
            yield {"option": curves.option, "part": name, "weight": float(weight), **figures}

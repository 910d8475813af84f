"""Weights of an ensemble: how they are chosen on validation cases, applied to histories, saved and loaded.

Weights are chosen by NDCG@10 of validation cases over a grid. One ranking pass per part gives candidates and their
terms (log-probabilities, or reciprocal ranks); every weight only adds the terms up anew.

Per case, a weight depends on the history's *coverage*: how often training saw successors of its items. Cases are cut
into bins of equal size by coverage. Every bin takes the best weight of its own curve, shrunk towards that of all cases,
so that a few cases do not decide.

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
from lexirec.data.training_part import TrainingAndValidation
from lexirec.evaluation.metrics import ranks_in_scores
from lexirec.models.baselines.base import history_rows
from lexirec.models.ensemble.settings import PLACES, EnsembleSettings

Floats = NDArray[np.float32]
_DECAY = 0.6  # weight of a history item relative to the next newer one, in coverage
_SWEEPS = 2  # rounds of coordinate ascent over several experts
_WEIGHTS, _SUPPORT = "weights.json", "support.npy"


# -------------------------------------------------------------------------------------------------------- coverage


def support_of(train: Sequences, n_items: int) -> Floats:
    """Return how often any item followed each item in training, within 5 positions and decayed by gap: (n_items,)."""
    counts = pair_counts(train, n_items, window=5, gap_decay=0.5, backward=0.0)
    return np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()


def coverage(histories: Sequences, support: Floats) -> Floats:
    """Return log(1 + support of the history's items, decayed with age): (rows,)."""
    covered: Floats = np.log1p(history_rows(histories, len(support), _DECAY) @ support).astype(np.float32)
    return covered


# ----------------------------------------------------------------------------------------------------------- cases


def chosen_cases(settings: EnsembleSettings, split: Split | TrainingAndValidation) -> tuple[Cases, dict[str, Any]]:
    """Return the validation cases on which weights are chosen, and facts about them for the report.

    Raises:
        DataError: there are none.
    """
    cases, fresh = split.validation, unseen_cases(split)
    facts: dict[str, Any] = {"chosen_on": settings.choose_on, "unseen": float(fresh.mean()) if len(fresh) else 0.0}
    if settings.choose_on == "unseen":
        cases = cases.take(np.flatnonzero(fresh))
    if not len(cases):
        raise DataError(
            'choose_on is "unseen", and every validation history ends with a training event, as under leave-last-out; '
            'set choose_on = "validation", or hold events back (data.split.hold_back = 0.2)'
            if len(split.validation)
            else "there is no validation case; use a split that has some, or leave out [ensemble]"
        )
    cases = cases.sample(settings.cases, settings.seed)
    return cases, {**facts, "cases": len(cases)}


# --------------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True, eq=False)
class EnsembleWeights:
    """Weights of every part but the lead.

    Attributes:
        values: float64 (bins, E), one row where all cases share their weights.
        edges: float64 (bins − 1,), the coverages between bins.
        option: the floor of a product, or the constant of reciprocal ranks.
        support: successors of each item in training, from which coverage is computed, (n_items,).
        tried: the grid, a row per option, expert and weight: `option`, `part`, `weight`, `ndcg@10`, `recall@10`.
        facts: about the choice, JSON values only.
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
        values = {"option": self.option, "values": self.values.tolist(), "edges": self.edges.tolist()}
        content = {**values, "facts": dict(self.facts), "tried": list(self.tried)}
        (folder / _WEIGHTS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        np.save(folder / _SUPPORT, self.support, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        try:
            content = json.loads((folder / _WEIGHTS).read_text(encoding="utf-8"))
            values, edges = (np.asarray(content[name], dtype=np.float64) for name in ("values", "edges"))
            support = load_array(folder / _SUPPORT)
            return cls(values, edges, content["option"], support, tuple(content["tried"]), content["facts"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{folder / _WEIGHTS}: damaged ({error}); fit and save the ensemble again") from None


class Candidates(NamedTuple):
    """Candidates of validation cases and their terms, on which weights are chosen.

    Attributes:
        items: int32 (C, K), ascending in a row, padded with −1 at the end.
        targets: int32 (C,).
        users: int64 (C,).
        coverages: float32 (C,).
        terms: from an option to the terms of the lead and of every expert, (C, K) each; arbitrary beyond a row's
            candidates.
    """

    items: NDArray[np.int32]
    targets: NDArray[np.int32]
    users: NDArray[np.int64]
    coverages: Floats
    terms: Callable[[float], Sequence[Floats]]

    def gains(self, scores_CK: Floats) -> Floats:
        """Return each case's NDCG@10 under these scores of its candidates: (C,)."""
        here_CK = self.items == self.targets[:, None]
        scores_CK = np.where(self.items >= 0, scores_CK, -np.inf)
        ranks = np.where(here_CK.any(axis=1), ranks_in_scores(scores_CK, here_CK.argmax(axis=1)), 0)
        listed = (ranks >= 1) & (ranks <= PLACES)
        return np.where(listed, 1 / np.log2(np.maximum(ranks, 1) + 1), 0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Curves:
    """NDCG@10 of each case along the grid of one expert's weight, the others' fixed: (C, G) per expert."""

    option: float
    weights: tuple[float, ...]
    gains: tuple[Floats, ...]

    @property
    def value(self) -> float:
        """NDCG@10 of the best weights."""
        return float(self.gains[-1].mean(axis=0).max())


def choose_weights(
    candidates: Candidates,
    experts: Sequence[str],
    settings: EnsembleSettings,
    support: Floats,
    facts: Mapping[str, Any] | None = None,
) -> EnsembleWeights:
    """Choose option and weights by NDCG@10; ties go to the first in the grid.

    `facts["held_out"]` is the NDCG@10 of each rule on users that did not choose it: users are halved, and each half is
    measured with the weights of the other half.
    """
    curves = [_climb(candidates, option, settings.weights) for option in settings.options]
    best = max(curves, key=lambda each: each.value)
    bins = settings.bins if settings.rule == "per-case" else 1
    values, edges = _fitted(best, candidates.coverages, slice(None), settings, bins)
    rules = {"fixed": 1, **({"per-case": bins} if bins > 1 else {})}
    facts = {
        **(facts or {}),
        f"ndcg@{PLACES}": float(candidates.gains(weighted_scores(candidates, best.option, values, edges)).mean()),
        "held_out": {rule: _held_out(best, candidates, settings, count) for rule, count in rules.items()},
    }
    rows = tuple(row for each in curves for row in _grid_rows(each, experts, settings.weights))
    return EnsembleWeights(values, edges, best.option, support, rows, facts)


def _climb(candidates: Candidates, option: float, grid: Sequence[float]) -> _Curves:
    """Coordinate ascent: search the grid for one expert after the other, starting at the weights nearest to 1."""
    lead, *others = candidates.terms(option)
    weights = [min(grid, key=lambda weight: abs(weight - 1))] * len(others)
    gains: list[Floats] = [np.empty(0, np.float32)] * len(others)
    for _ in range(_SWEEPS if len(others) > 1 else 1):
        for expert, term in enumerate(others):
            # only this expert's weight varies, so the other terms are added up once per grid
            fixed = lead + sum(weights[e] * other for e, other in enumerate(others) if e != expert)
            gains[expert] = np.stack([candidates.gains(fixed + weight * term) for weight in grid], axis=1)
            weights[expert] = grid[int(gains[expert].mean(axis=0).argmax())]
    return _Curves(option, tuple(weights), tuple(gains))


def _fitted(
    curves: _Curves, coverages: Floats, rows: Any, settings: EnsembleSettings, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the best weights (bins, E) for these rows, and the edges of the bins."""
    coverages = coverages[rows]
    edges = np.unique(np.quantile(coverages, np.arange(1, bins) / bins)) if bins > 1 else np.empty(0)
    bin_of = np.searchsorted(edges, coverages, side="right")
    grid = np.asarray(settings.weights, dtype=np.float64)
    values = np.empty((len(edges) + 1, len(curves.gains)))
    for expert, gains_CG in enumerate(curves.gains):
        overall_G = gains_CG[rows].mean(axis=0)
        for number in range(len(values)):
            # `shrink` pseudo-cases with the overall curve stabilise bins of few cases
            own = gains_CG[rows][bin_of == number].sum(axis=0) if bins > 1 else overall_G
            values[number, expert] = grid[int((own + settings.shrink * overall_G).argmax())]
    return values, edges.astype(np.float64)


def weighted_scores(
    candidates: Candidates, option: float, values: NDArray[np.float64], edges: NDArray[np.float64]
) -> Floats:
    """Return the candidates' scores (C, K) under weights (bins, E) of bins with these edges."""
    lead, *others = candidates.terms(option)
    weights = values[np.searchsorted(edges, candidates.coverages, side="right")].astype(np.float32)
    scores: Floats = lead + sum(weights[:, e, None] * other for e, other in enumerate(others))
    return scores


def _held_out(curves: _Curves, candidates: Candidates, settings: EnsembleSettings, bins: int) -> float:
    half = candidates.users % 2 == 0
    gains = np.zeros(len(half), dtype=np.float32)
    for here in (half, ~half):
        if here.all() or not here.any():
            return float("nan")
        values, edges = _fitted(curves, candidates.coverages, ~here, settings, bins)
        gains[here] = candidates.gains(weighted_scores(candidates, curves.option, values, edges))[here]
    return float(gains.mean())


def _grid_rows(curves: _Curves, experts: Sequence[str], grid: Sequence[float]) -> Iterator[dict[str, Any]]:
    for name, gains_CG in zip(experts, curves.gains, strict=True):
        for weight, gains in zip(grid, gains_CG.T, strict=True):
            figures = {f"ndcg@{PLACES}": float(gains.mean()), f"recall@{PLACES}": float((gains > 0).mean())}
            yield {"option": curves.option, "part": name, "weight": float(weight), **figures}

"""Audit checks of statistical power: differences that the test set can detect, and figures that rest on few seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lexirec.data.sequences import Sequences
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.metrics import ranks_in_scores
from lexirec.evaluation.significance import compare_ranks
from lexirec.evaluation.verdicts import SEEDS_NEEDED
from lexirec.models.baselines.memory import TRANSITIONS, Memory, MemorySettings
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, percent

_SAMPLE = 4000
_BLOCK = 1 << 24
_FEW_DRAWS = Bootstrap(replicates=1000)


def small_differences(evidence: Evidence) -> Iterator[Finding]:
    """Report the minimum detectable difference, and stored differences that are smaller."""
    cases = evidence.split.test
    users = len(np.unique(cases.users))
    if len(cases) > 1.05 * users:
        yield Finding(
            "note",
            f"{len(cases):,} test cases belong to {users:,} users",
            "intervals by case are too narrow, and tests by case give false positives",
            "resample users, not cases, as lexirec compare does",
        )
    if users < 2:
        return
    stored = [(name, report) for name, of_seen in evidence.reports.items() for report in list(of_seen.values())[:1]]
    if len(stored) >= 2:
        yield from _stored(stored)
        return
    value, least = _expected(evidence)
    yield Finding(
        "note",
        f"with {users:,} test users the minimum detectable difference in NDCG@10 is about {least:.4f} "
        f"({percent(least / value) if value else 'any share'} of the value of transitions, {value:.4f}; power .8 at "
        "level .05, estimated from two count baselines)",
        "smaller differences between systems are mostly noise",
        "lexirec compare tests differences",
    )


def _stored(stored: list[tuple[str, Any]]) -> Iterator[Finding]:
    ranked = sorted(stored, key=lambda each: -each[1].metrics.get("ndcg@10", 0.0))
    (best, first), others = ranked[0], ranked[1:]
    small = []
    for name, report in others:
        if len(report.ranks) != len(first.ranks):
            continue
        users = first.cases.get("user", np.arange(len(first.ranks)))
        difference = compare_ranks(first.ranks, report.ranks, users, bootstrap=_FEW_DRAWS)
        if abs(difference.value) < difference.detectable(comparisons=len(others)):
            least = difference.detectable(comparisons=len(others))
            small.append(f"{name} ({difference.value:+.4f}, detectable from {least:.4f} on)")
    if small:
        yield Finding(
            "note",
            f"{best} leads by NDCG@10, but these differences are smaller than what this test set can show: "
            f"{'; '.join(small)}",
            "they may not hold for another sample of users",
            "more users, more seeds, or no claim; lexirec compare has intervals and p-values",
        )


def _expected(evidence: Evidence) -> tuple[float, float]:
    """Return NDCG@10 of transitions on a sample of cases, and its detectable difference from M0 on all cases."""
    cases = evidence.split.test
    chosen = np.random.default_rng(0).choice(len(cases), min(_SAMPLE, len(cases)), replace=False)
    some = cases.take(np.sort(chosen))
    ranks = []
    for settings in (TRANSITIONS, MemorySettings()):
        counter = Memory(settings).fit(evidence.split.train, evidence.n_items)
        ranks.append(_ranks(counter, some.histories, some.targets, evidence.n_items))
    difference = compare_ranks(ranks[0], ranks[1], some.users, bootstrap=_FEW_DRAWS)
    gains = np.where((ranks[0] >= 1) & (ranks[0] <= 10), 1 / np.log2(ranks[0] + 1.0), 0.0)
    return float(gains.mean()), difference.detectable() * float(np.sqrt(len(some) / len(cases)))


def _ranks(counter: Memory, histories: Sequences, targets: Any, n_items: int) -> Any:
    size, ranks = max(1, _BLOCK // max(n_items, 1)), []
    for first in range(0, len(histories), size):
        rows = np.arange(first, min(first + size, len(histories)))
        ranks.append(ranks_in_scores(counter.scores(histories.take(rows)), targets[rows]))
    return np.concatenate(ranks)


def seeds(evidence: Evidence) -> Iterator[Finding]:
    """Report where figures rest on fewer seeds than a shown difference needs."""
    count = len(evidence.seeds)
    if evidence.says("seed") and 0 < count < SEEDS_NEEDED:
        listed = f"{'one seed' if count == 1 else f'{count} seeds'} ({', '.join(map(str, evidence.seeds))})"
        yield Finding(
            "note",
            f"the experiment has finished with {listed}",
            "either way: differences between seeds (usually .001 to .004 of NDCG@10) look like differences between "
            "systems; what is significant holds in these users, and nothing is shown",
            f"lexirec run EXPERIMENT.toml --set seed=… until there are {SEEDS_NEEDED}; lexirec compare NAME@all takes "
            "seeds as a factor",
        )

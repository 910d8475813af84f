"""Audit check of every learned recommender: was it trained on held-out targets?

Each target is compared with items that are as likely by counts of other users (`matched_cases`). The *advantage* of a
group of cases is how much more often than every second time its targets are ranked above their matched items. A
recommender memorises some of the training targets, so these have an advantage; held-out targets keep only a part of it,
what the recommender generalises beyond counts. Where they have as much as training targets, it was trained on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.progress import quiet, track
from lexirec.data.ranking import Recommender
from lexirec.models.loading import load_recommender
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError
from lexirec.workflows.audit.matched_cases import (
    AFTER_TRAINING,
    FEWEST_CASES,
    MOST_CASES,
    TEST,
    TRAINED,
    VALIDATION,
    MatchedCases,
    matched_cases,
)

_WITHOUT_PAIRS = ("popularity", "recency")
"""Kinds that rank all histories alike; the check `baselines` compares their counts."""
_FEW_CASES = 40
_SECONDS = 120.0
"""Time that the probe of one recommender may take, about, by the speed of its evaluation."""
_LIKE_TRAINED = 0.85
_BEYOND = ((0.5, 3.0), (0.7, 1.5))
"""A leak: held-out targets keep 0.85 of the training targets' advantage or more, and more than 0.5 of it by three
standard errors, and than 0.7, which few honest recommenders keep, by 1.5 (calibration: docs/protocol.md)."""
_APART, _APART_ERRORS, _HALF_TRAINED = 0.3, 4.0, 0.5
"""Or one fold keeps 0.5 or more, and 0.3 more than the other, by four standard errors: that fold was trained on."""


class Advantage(NamedTuple):
    """Mean share of matched items that targets are ranked above, less one half; its standard error; the cases."""

    value: float
    error: float
    cases: int

    @classmethod
    def of(cls, wins: NDArray[np.floating]) -> Advantage:
        """Return the advantage of some cases."""
        return cls(float(wins.mean()) - 0.5, float(wins.std() / np.sqrt(len(wins))), len(wins))

    def with_other(self, other: Advantage) -> Advantage:
        """Return the advantage of two groups together."""
        cases = self.cases + other.cases
        value = (self.value * self.cases + other.value * other.cases) / cases
        return Advantage(value, float(np.hypot(self.error * self.cases, other.error * other.cases)) / cases, cases)


class Kept(NamedTuple):
    """The part of the training targets' advantage that a group of held-out targets has.

    Attributes:
        part: 0 for targets that are like their matched items, 1 for targets like those trained on.
        error: Its standard error.
        beyond: Standard errors by which it exceeds each of the parts 0.5 and 0.7.
    """

    part: float
    error: float
    beyond: tuple[float, ...]

    @classmethod
    def of(cls, held_out: Advantage, trained: Advantage) -> Kept:
        """Compare two advantages."""
        part = held_out.value / trained.value
        error = float(np.hypot(held_out.error, part * trained.error)) / trained.value
        beyond = (
            (held_out.value - least * trained.value) / max(float(np.hypot(held_out.error, least * trained.error)), 1e-9)
            for least, _ in _BEYOND
        )
        return cls(part, error, tuple(beyond))

    @property
    def leaks(self) -> bool:
        """Whether the group was trained on."""
        enough = all(beyond >= least for beyond, (_, least) in zip(self.beyond, _BEYOND, strict=True))
        return self.part >= _LIKE_TRAINED and enough


@lru_cache(maxsize=1)
def _cases(evidence: Evidence) -> dict[str, MatchedCases]:
    return matched_cases(evidence.split, evidence.catalog.texts())


def memorised_targets(evidence: Evidence) -> Iterator[Finding]:
    """Compare held-out targets with training targets, for every recommender of the experiment that learned pairs.

    Raises:
        NotLookedError: there are too few cases, or some recommenders memorise too little for a result.
    """
    folders = evidence.need("recommenders")
    without: dict[str, str] = {}
    for name, folder in track(list(folders.items()), "looking for memorised targets"):
        try:
            with quiet():
                recommender = load_recommender(folder)
            if recommender.protocol.get("recommender") in _WITHOUT_PAIRS:
                continue
            yield from judged(name, advantages(recommender, evidence, _most(evidence, name)))
        except (NotLookedError, ArtifactError) as error:
            without[name] = str(error)
    if without:
        raise NotLookedError("; ".join(f"{name}: {why}" for name, why in without.items()))


def advantages(recommender: Recommender, evidence: Evidence, most: int = MOST_CASES) -> dict[str, Advantage]:
    """Return the advantage of each group of cases with enough of them.

    Raises:
        NotLookedError: there are too few training or held-out cases.
    """
    groups = {name: cases.sample(most) for name, cases in _cases(evidence).items() if len(cases.cases) >= _FEW_CASES}
    if TRAINED not in groups or not set(groups) & {VALIDATION, TEST, AFTER_TRAINING}:
        raise NotLookedError(f"there are fewer than {_FEW_CASES} training or held-out targets with matched items")
    with quiet():
        return {name: Advantage.of(cases.wins(recommender)) for name, cases in groups.items()}


def kept(found: Mapping[str, Advantage]) -> dict[str, Kept]:
    """Return the part of the advantage that each group of held-out targets keeps, and both folds together.

    Raises:
        NotLookedError: the recommender memorises so little that a leak could not be told from none.
    """
    trained = found[TRAINED]
    least = max(errors * float(np.hypot(1, part)) / (1 - part) for part, errors in _BEYOND) * trained.error
    if trained.value < least:
        raise NotLookedError(
            f"it memorises too little for a result (training targets are ranked above {0.5 + trained.value:.0%} of "
            f"matched items; a leak would show from {0.5 + least:.0%} on); lexirec audit --refit decides"
        )
    groups = {name: each for name, each in found.items() if name != TRAINED}
    if VALIDATION in groups and TEST in groups:
        groups["validation and test"] = groups[VALIDATION].with_other(groups[TEST])
    return {name: Kept.of(each, trained) for name, each in groups.items()}


def judged(name: str, found: Mapping[str, Advantage]) -> Iterator[Finding]:
    """Yield the finding on one recommender, if there is one; raises NotLookedError as `kept` does."""
    parts = kept(found)
    leaks = [group for group, part in parts.items() if part.leaks] or _apart(found, parts)
    if not leaks:
        return
    worst = max(leaks, key=lambda group: parts[group].beyond[0])
    shares = ", ".join(f"{group} {0.5 + each.value:.0%} ({each.cases:,})" for group, each in found.items())
    yield Finding(
        "leak",
        f"'{name}' ranks {worst} targets as if it had been trained on them: of items that are as likely by counts, "
        f"targets are ranked above: {shares}; {worst} targets keep {parts[worst].part:.2f} ± {parts[worst].error:.2f} "
        "of the advantage of training targets over one half",
        "up: it was trained on the answers, or reads inputs that hold them",
        f"make '{name}' again from the training part; lexirec audit --refit compares exactly",
    )


def _apart(found: Mapping[str, Advantage], parts: Mapping[str, Kept]) -> list[str]:
    """Return the fold whose targets keep far more than those of the other, as where only that one was trained on."""
    if VALIDATION not in found or TEST not in found:
        return []
    high, low = sorted((VALIDATION, TEST), key=lambda name: -parts[name].part)
    errors = (found[high].value - found[low].value) / max(float(np.hypot(found[high].error, found[low].error)), 1e-9)
    apart = parts[high].part - parts[low].part >= _APART and errors >= _APART_ERRORS
    return [high] if apart and parts[high].part >= _HALF_TRAINED else []


def _most(evidence: Evidence, name: str) -> int:
    """Return how many cases of each group to rank in about two minutes, by the time of the stored evaluation."""
    for report in evidence.reports.get(name, {}).values():
        if report.seconds > 0 and len(report.ranks):
            return int(np.clip(_SECONDS / 4 * len(report.ranks) / report.seconds, FEWEST_CASES, MOST_CASES))
    return MOST_CASES

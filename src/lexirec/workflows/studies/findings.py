"""Findings of a study: every row with its interval and its tested difference from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lexirec.core.errors import ArtifactError
from lexirec.evaluation.bootstrap import STANDARD, Bootstrap
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.significance import Difference, Estimate, compare_ranks, estimate_ranks, holm
from lexirec.evaluation.verdicts import Verdict, training_seeds, verdict
from lexirec.workflows.comparison.comparability import check_comparable
from lexirec.workflows.studies.collect import RecommenderResult
from lexirec.workflows.studies.settings import StudySettings


@dataclass(frozen=True)
class Finding:
    """One row of a study's table: all its seeds, under one treatment of seen items.

    Attributes:
        data: the data set.
        label: the row's label, or the baseline's name.
        seen: `excluded` or `included`.
        members: one for every seed that finished.
        estimates: metric -> mean over seeds and users, with its interval.
        difference: from the reference of the same data, in the study's first metric; None for the reference itself, and
            where the protocols differ.
        adjusted: p-value of the difference after Holm over all comparisons of the study; None outside the headline
            treatment of seen items (the first of the study's base).
        unlike: difference of the protocols, if any.
        seeds: training seeds of the row and of the reference (`evaluation.verdicts.training_seeds`).
    """

    data: str
    label: str
    seen: str
    members: tuple[RecommenderResult, ...] = field(repr=False)
    estimates: dict[str, Estimate] = field(repr=False)
    difference: Difference | None = None
    adjusted: float | None = None
    unlike: str = ""
    seeds: tuple[int | None, int | None] = (None, None)

    @property
    def baseline(self) -> bool:
        """Whether it is a baseline."""
        return self.members[0].baseline

    @property
    def reference(self) -> bool:
        """Whether the others are compared with it."""
        return self.members[0].row.reference and not self.baseline

    def verdict(self, level: float) -> Verdict:
        """Return the verdict on the difference, its p-value after Holm; `open` without a difference."""
        if self.difference is None or self.adjusted is None:
            return "open"
        return verdict(self.difference.value, self.adjusted, level, self.seeds)


def find(
    settings: StudySettings, results: Sequence[RecommenderResult], bootstrap: Bootstrap = STANDARD
) -> list[Finding]:
    """Estimate every row and compare it with the reference of its data, over the seeds of both.

    The p-values of all differences of the study's first metric, seen items treated as in the headline, are one family
    for Holm's correction, over all data sets.
    """
    findings: list[Finding] = []
    for data in dict.fromkeys(each.data for each in (one.row for one in results)):
        here = [one for one in results if one.row.data == data]
        for seen in dict.fromkeys(seen for one in here for seen in one.reports):
            findings += _beside_reference(settings, data, seen, here, bootstrap)
    headline = {
        data: next(each.seen for each in findings if each.data == data) for data in {each.data for each in findings}
    }
    family = [each for each in findings if each.difference is not None and each.seen == headline[each.data]]
    adjusted = holm([each.difference.p_value for each in family if each.difference is not None]).tolist()
    by_place = {id(each): p for each, p in zip(family, adjusted, strict=True)}
    return [replace(each, adjusted=by_place.get(id(each))) for each in findings]


def _beside_reference(
    settings: StudySettings, data: str, seen: str, results: Sequence[RecommenderResult], bootstrap: Bootstrap
) -> list[Finding]:
    rows: dict[str, list[RecommenderResult]] = {}
    for one in results:
        if seen in one.reports:
            rows.setdefault(f"{'baseline ' if one.baseline else ''}{one.label}", []).append(one)
    reference = next((row for row in rows.values() if row[0].row.reference and not row[0].baseline), None)
    findings = []
    for members in rows.values():
        reports = [one.reports[seen] for one in members]
        finding = Finding(data, members[0].label, seen, tuple(members), _estimates(settings, reports, bootstrap))
        if reference is not None and members is not reference:
            finding = _compared(settings, finding, reports, [one.reports[seen] for one in reference], bootstrap)
        findings.append(finding)
    return findings


def _estimates(settings: StudySettings, reports: Sequence[Report], bootstrap: Bootstrap) -> dict[str, Estimate]:
    ranks, users = np.stack([report.ranks for report in reports]), reports[0].cases["user"]
    return {
        metric: estimate_ranks(ranks, users, metric=name, k=int(k), bootstrap=bootstrap)
        for metric in settings.metrics
        for name, _, k in [metric.partition("@")]
        if int(k) <= reports[0].protocol.get("list_length", int(k))
    }


def _compared(
    settings: StudySettings,
    finding: Finding,
    reports: Sequence[Report],
    reference: Sequence[Report],
    bootstrap: Bootstrap,
) -> Finding:
    """Add the difference from the reference, or the reason for its absence."""
    try:
        users = check_comparable({"the reference": reference, finding.label: reports})
    except ArtifactError as error:
        return replace(finding, unlike=str(error))
    name, _, k = settings.metrics[0].partition("@")
    ours, theirs = (np.stack([report.ranks for report in some]) for some in (reports, reference))
    difference = compare_ranks(ours, theirs, users, metric=name, k=int(k), bootstrap=bootstrap)
    return replace(finding, difference=difference, seeds=(training_seeds(reports), training_seeds(reference)))

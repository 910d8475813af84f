"""Stage that evaluates a recommender on the cases of a fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.errors import DataError
from lexirec.data.splits import Cases, Split, unseen_cases
from lexirec.evaluation.evaluator import Report, evaluate
from lexirec.models.loading import load_recommender
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.stages.baselines import Folders
from lexirec.pipeline.stages.data import load_split, write_summary


def measured_cases(settings: EvaluationSettings, split: Split) -> Cases:
    """Return the cases to evaluate: a fold or its unseen cases, or a fixed random sample of them.

    Raises:
        DataError: `cases` is "unseen", and there are no such cases.
    """
    cases = split.test if settings.fold == "test" else split.validation
    if settings.cases == "unseen":
        cases = cases.take(np.flatnonzero(unseen_cases(split)))
        if not len(cases):
            raise DataError(
                'cases = "unseen" (choose_on, where settings are searched): every validation history ends with a'
                " training event, as under leave-last-out; use all cases, or set data.split.hold_back = 0.2"
            )
    if settings.sample_users is None or settings.sample_users >= len(cases):
        return cases
    chosen = np.random.default_rng(settings.seed).choice(len(cases), settings.sample_users, replace=False)
    return cases.take(np.sort(chosen))


def measure(settings: EvaluationSettings, inputs: Folders, out: Path) -> None:
    """Evaluate a recommender under every treatment of seen items; save one report per treatment."""
    recommender, split = load_recommender(inputs["recommender"]), load_split(inputs["data"])
    cases = measured_cases(settings, split)
    protocol: dict[str, Any] = {
        "fold": settings.fold,
        "sample_users": settings.sample_users,
        "sample_seed": settings.seed,
        **({"newest_event": settings.cases} if settings.cases != "all" else {}),
    }
    for seen in settings.seen:
        report = evaluate(
            recommender,
            cases,
            ks=settings.ks,
            exclude_seen=seen == "excluded",
            protocol={**split.protocol, **protocol},
        )
        report.save(out / seen, keep_lists=settings.keep_lists)
    _write_metrics(out, settings)


def _write_metrics(out: Path, settings: EvaluationSettings) -> None:
    lines = []
    for seen in settings.seen:
        metrics = Report.load(out / seen, lists=False).metrics
        lines += [f"seen items {seen}: {name} {value:.4f}" for name, value in metrics.items()]
    write_summary(out, "Evaluation", lines)

"""Stage that fits an ensemble: weights chosen on validation candidates, then verified by the full search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lexirec.core.progress import quiet
from lexirec.core.store import progress_folder
from lexirec.data.training_part import TrainingAndValidation
from lexirec.evaluation.evaluator import evaluate
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble.partner_search import Partner, find_partner
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.ensemble.settings import PLACES, EnsembleSettings
from lexirec.models.ensemble.weights import chosen_cases
from lexirec.models.loading import load_recommender
from lexirec.pipeline.stages.data import load_train_and_validation, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors
from lexirec.reporting.cost_figures import Spending, WeightCurve, budget_figure, weights_figure
from lexirec.reporting.style import save

METRIC = f"ndcg@{PLACES}"
_SHOWN = 10
"""Largest number of partners in the summary."""
_VERIFIED = 1000
"""Cases ranked by the full search to verify the choice: enough to notice candidate lists that are too short."""


def fuse(settings: EnsembleSettings, inputs: Mapping[str, Path], out: Path) -> None:
    """Choose the weights of an ensemble and save it as a recommender.

    Args:
        settings: parts, kind and rule of the ensemble.
        inputs: `train` and `validation`, the folder of every part by its name, and vectors where a partner is smoothed
            with them.
        out: folder of the recommender, `summary.md`, the metric by weight (`weights.png`), and the search of the
            partner (`partner.png`).
    """
    parts = {name: load_recommender(inputs[name]) for name in settings.of}
    ensemble = EnsembleRecommender(parts, settings)
    part = load_train_and_validation(inputs, len(ensemble.catalog))
    partner = None
    if settings.partner is not None:
        evidence: dict[str, Any] = {}
        match settings.partner.evidence:
            case "vectors":
                evidence["vectors"] = joined_vectors(inputs)
            case "text":
                evidence["texts"] = ensemble.catalog.texts()
        partner = find_partner(ensemble.names, ensemble.parts, settings, part, progress_folder(out), **evidence)
        parts[settings.partner.part] = ScoreRecommender(ensemble.catalog, partner.memory)
        ensemble = EnsembleRecommender(parts, settings)
        save(_searched(partner, settings.partner.part), out, "partner")
    ensemble.fit(part).save(out)
    save(weights_figure(_curves(ensemble), title=_title(ensemble), metric=METRIC), out, "weights")
    lines = [
        *_weight_lines(ensemble),
        *([] if partner is None else _partner_lines(partner)),
        _verified(ensemble, part),
    ]
    trials = {} if partner is None else {"Partner search, best trials first": _best_trials(partner)}
    write_summary(out, "Ensemble", lines, {"Weights tried": _tried(ensemble), **trials})


def _weight_lines(ensemble: EnsembleRecommender) -> list[str]:
    settings, facts = ensemble.settings, ensemble.weights.facts
    option = "floor" if settings.kind == "product" else "constant"
    lines = [
        f"{settings.kind} of {', '.join(ensemble.names)}; weights {_in_words(ensemble.weights_by_part())}; {option} "
        f"{ensemble.weights.option:g}",
        f"chosen on {facts['cases']:,} cases of {facts['chosen_on']}: {METRIC} {facts[METRIC]:.4f}",
        f"{facts['unseen']:.0%} of validation histories end with an event outside training; the others favour trained "
        "parts, so the weights of their partners may be too small",
    ]
    if len(ensemble.weights.edges):
        edges = ", ".join(f"{edge:.2f}" for edge in ensemble.weights.edges)
        lines.append(f"edges of the bins of cases by log(1 + training successors of the history's items): {edges}")
    held = ", ".join(f"{rule} {value:.4f}" for rule, value in facts["held_out"].items() if np.isfinite(value))
    halves = f"{METRIC} with weights chosen on the other half of the users"
    return [*lines, f"{halves}: {held or 'too few users to halve'}"]


def _partner_lines(partner: Partner) -> list[str]:
    first, best = partner.trials[0], partner.best
    return [
        f"partner: the best of {len(partner.trials)} memories, trial {best.number + 1}; on {partner.cases:,} cases "
        f"{METRIC} {best.value:.4f}, with the baseline's settings {first.value:.4f}",
        f"partner chosen on the other half of the users, weights on both: {partner.held_out:.4f}, "
        f"with the baseline's settings {np.mean(first.halves):.4f}",
    ]


def _best_trials(partner: Partner) -> list[dict[str, float]]:
    trials = sorted(partner.trials, key=lambda trial: (-trial.value, trial.number))[:_SHOWN]
    return [{"trial": each.number + 1, METRIC: each.value, **_numbers(each.params)} for each in trials]


def _numbers(params: Mapping[str, Any]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else float(value) for name, value in params.items()}


def _searched(partner: Partner, name: str) -> Figure:
    values, minutes = zip(*((trial.value, trial.seconds / 60) for trial in partner.trials), strict=True)
    return budget_figure(
        [Spending(name, values, minutes)], title=f"{name}: search as part of the ensemble", metric=METRIC
    )


def _verified(ensemble: EnsembleRecommender, part: TrainingAndValidation) -> str:
    """Evaluate a sample of the cases by the full search, over all items instead of candidates."""
    cases = chosen_cases(ensemble.settings, part)[0].sample(_VERIFIED, seed=0)
    with quiet():
        excluded = ensemble.settings.seen == "excluded"
        report = evaluate(ensemble, cases, ks=(PLACES,), exclude_seen=excluded)
        exact = ensemble.search(cases.histories, k=PLACES, exclude_seen=excluded).exact.mean()
    proven = (
        f"; {exact:.1%} of the lists proven equal to an exhaustive search"
        if ensemble.settings.kind == "product"
        else ""
    )
    return f"full search on {len(cases):,} of the cases: {METRIC} {report.metrics[METRIC]:.4f}{proven}"


def _title(ensemble: EnsembleRecommender) -> str:
    weights = _in_words(
        {name: weight for name, weight in ensemble.weights_by_part().items() if name != ensemble.names[0]}
    )
    return f"{ensemble.names[0]} with {weights}"


def _in_words(weights: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {'/'.join(f'{each:g}' for each in (weight if isinstance(weight, list) else [weight]))}"
        for name, weight in weights.items()
    )


def _curves(ensemble: EnsembleRecommender) -> list[WeightCurve]:
    chosen = {name: ensemble.weights.values[:, expert].tolist() for expert, name in enumerate(ensemble.names[1:])}
    option = "floor" if ensemble.settings.kind == "product" else "constant"
    points: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row in ensemble.weights.tried:
        points.setdefault((row["part"], row["option"]), []).append((row["weight"], row[METRIC]))
    return [
        WeightCurve(part, f"{option} {tried:g}", sorted(each), chosen[part] if tried == ensemble.weights.option else ())
        for (part, tried), each in points.items()
    ]


def _tried(ensemble: EnsembleRecommender) -> list[dict[str, float]]:
    """Return a row per weight with the metric of each part and option."""
    rows: dict[float, dict[str, float]] = {}
    for tried in ensemble.weights.tried:
        row = rows.setdefault(tried["weight"], {"weight": tried["weight"]})
        row[f"{tried['part']}, {tried['option']:g}"] = tried[METRIC]
    return list(rows.values())

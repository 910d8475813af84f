"""The stage that makes one recommender of several: weights chosen on validation, verified by the real search, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lexirec.core.progress import quiet
from lexirec.core.store import progress_folder
from lexirec.data.splits import Split
from lexirec.evaluation.evaluator import evaluate
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble.partner_search import Partner, find_partner
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.ensemble.settings import PLACES, EnsembleSettings
from lexirec.models.ensemble.weights import chosen_cases
from lexirec.models.loading import load_recommender
from lexirec.pipeline.stages.data import load_split, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors
from lexirec.reporting.cost_figures import Spending, WeightCurve, budget_figure, weights_figure
from lexirec.reporting.style import save

METRIC = f"ndcg@{PLACES}"
_SHOWN = 10
"""Partners of which the summary tells."""
_VERIFIED = 1000
"""Cases ranked by the real search after choosing: enough to see a candidate list that is too short."""


def fuse(settings: EnsembleSettings, inputs: Mapping[str, Path], out: Path) -> None:
    """Choose the weights of a fusion and save it as a complete recommender.

    Args:
        settings: what is fused, and how.
        inputs: `data`, the folder of every part by its name, and vectors where a partner is smoothed with them.
        out: where the recommender goes, with `summary.md`, the curve of the weights as `weights.png`, and that of a
            partner's search as `partner.png`.
    """
    split = load_split(inputs["data"])
    parts = {name: load_recommender(inputs[name]) for name in settings.of}
    made = EnsembleRecommender(parts, settings)
    partner = None
    if settings.partner is not None:
        alike: dict[str, Any] = {}
        match settings.partner.evidence:
            case "vectors":
                alike["vectors"] = joined_vectors(inputs)
            case "text":
                alike["texts"] = made.catalog.texts()
        partner = find_partner(made.names, made.parts, settings, split, progress_folder(out), **alike)
        parts[settings.partner.part] = ScoreRecommender(made.catalog, partner.memory)
        made = EnsembleRecommender(parts, settings)
        save(_searched(partner, settings.partner.part), out, "partner")
    made.fit(split).save(out)
    save(weights_figure(_curves(made), title=_title(made), metric=METRIC), out, "weights")
    lines = [*_told(made), *([] if partner is None else _found(partner)), _verified(made, split)]
    trials = {} if partner is None else {"Partners that were tried, best first": _by_worth(partner)}
    write_summary(out, "Fused recommender", lines, {"What was tried": _tried(made), **trials})


def _told(made: EnsembleRecommender) -> list[str]:
    settings, facts = made.settings, made.weights.facts
    option = "floor" if settings.kind == "product" else "constant"
    lines = [
        f"{settings.kind} of {', '.join(made.names)}; weights {_in_words(made.weights_by_part())}; {option} "
        f"{made.weights.option:g}",
        f"chosen on {facts['cases']:,} cases of {facts['chosen_on']}: {METRIC} {facts[METRIC]:.4f}",
        f"{facts['unseen']:.0%} of validation histories end with an event that no part was trained on; the others "
        "flatter parts that learn, so their partners' weights may come out too small",
    ]
    if len(made.weights.edges):
        edges = ", ".join(f"{edge:.2f}" for edge in made.weights.edges)
        lines.append(f"bins of cases by log(1 + what was seen after the history's items) meet at {edges}")
    held = ", ".join(f"{rule} {value:.4f}" for rule, value in facts["held_out"].items())
    return [*lines, f"{METRIC} where the weights were chosen on the other half of the users: {held}"]


def _found(partner: Partner) -> list[str]:
    first, best = partner.trials[0], partner.best
    return [
        f"partner: the best of {len(partner.trials)} memories, trial {best.number + 1}; on {partner.cases:,} cases "
        f"{METRIC} {best.value:.4f}, with its own settings {first.value:.4f}",
        f"where the partner was chosen on the other half of the users: {partner.held_out:.4f}, with its own settings "
        f"{np.mean(first.halves):.4f}",
    ]


def _by_worth(partner: Partner) -> list[dict[str, float]]:
    trials = sorted(partner.trials, key=lambda trial: (-trial.value, trial.number))[:_SHOWN]
    return [{"trial": each.number + 1, METRIC: each.value, **_numbers(each.params)} for each in trials]


def _numbers(params: Mapping[str, Any]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else float(value) for name, value in params.items()}


def _searched(partner: Partner, name: str) -> Figure:
    values, minutes = zip(*((trial.value, trial.seconds / 60) for trial in partner.trials), strict=True)
    return budget_figure([Spending(name, values, minutes)], title=f"{name}, tuned in its place", metric=METRIC)


def _verified(made: EnsembleRecommender, split: Split) -> str:
    """Rank some of the cases by the real search, which has all items and not only candidates."""
    cases = chosen_cases(made.settings, split)[0].sample(_VERIFIED, seed=0)
    with quiet():
        excluded = made.settings.seen == "excluded"
        report = evaluate(made, cases, ks=(PLACES,), exclude_seen=excluded)
        exact = made.search(cases.histories, k=PLACES, exclude_seen=excluded).exact.mean()
    proven = (
        f"; {exact:.1%} of the lists provably those of an exhaustive search" if made.settings.kind == "product" else ""
    )
    return f"real search on {len(cases):,} of the cases: {METRIC} {report.metrics[METRIC]:.4f}{proven}"


def _title(made: EnsembleRecommender) -> str:
    weights = _in_words({name: weight for name, weight in made.weights_by_part().items() if name != made.names[0]})
    return f"{made.names[0]} with {weights}"


def _in_words(weights: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {'/'.join(f'{each:g}' for each in (weight if isinstance(weight, list) else [weight]))}"
        for name, weight in weights.items()
    )


def _curves(made: EnsembleRecommender) -> list[WeightCurve]:
    chosen = {name: made.weights.values[:, expert].tolist() for expert, name in enumerate(made.names[1:])}
    option = "floor" if made.settings.kind == "product" else "constant"
    points: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row in made.weights.tried:
        points.setdefault((row["part"], row["option"]), []).append((row["weight"], row[METRIC]))
    return [
        WeightCurve(part, f"{option} {tried:g}", sorted(each), chosen[part] if tried == made.weights.option else ())
        for (part, tried), each in points.items()
    ]


def _tried(made: EnsembleRecommender) -> list[dict[str, float]]:
    """Return a row per weight: what each part and option is worth with it."""
    rows: dict[float, dict[str, float]] = {}
    for tried in made.weights.tried:
        row = rows.setdefault(tried["weight"], {"weight": tried["weight"]})
        row[f"{tried['part']}, {tried['option']:g}"] = tried[METRIC]
    return list(rows.values())

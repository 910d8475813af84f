"""The last stage: stored evaluations, identifiers and training become a report for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.codes.census import census
from lexirec.codes.identifiers import Identifiers
from lexirec.data.splits import Split
from lexirec.evaluation import Report
from lexirec.experiment import EvaluationSettings
from lexirec.fitting import measured_cases
from lexirec.metrics import Ranks
from lexirec.preparing import Folders, item_names, load_catalog, load_split
from lexirec.recommenders import load_recommender
from lexirec.report import (
    Breakdown,
    LevelCensus,
    ReportContent,
    Shopper,
    Suggestion,
    SystemResult,
    by_history,
    by_popularity,
    standings,
    write_report,
)

FLOORS = ("transitions", "memory")
"""Kinds of baselines that every learned recommender has to beat."""
MAIN = "model"
"""What the experiment's own recommender is called beside its baselines."""
_SHOPPERS, _SHOWN = 3, 5


def make_report(settings: Mapping[str, Any], inputs: Folders, out: Path) -> None:
    """Write `report.md` with its figures; the arguments are those of `report_content`."""
    path = write_report(out, report_content(settings, inputs))
    path.with_name("summary.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")


def report_content(settings: Mapping[str, Any], inputs: Folders) -> ReportContent:
    """Put together what a report shows.

    Args:
        settings: The experiment's `name`, the `kinds` of its recommenders, and its `evaluation`.
        inputs: `data`, each `evaluation.NAME`, and the `recommender` whose lists are shown in words.
    """
    measured = EvaluationSettings.model_validate(settings["evaluation"])
    split = load_split(inputs["data"])
    evaluations = evaluations_of(inputs)
    rows = systems(evaluations, settings["kinds"])
    return ReportContent(
        title=settings["name"],
        lead=_lead(split, rows),
        systems=rows,
        protocol=shared_protocol(evaluations),
        census=_census(inputs.get("identifiers")),
        breakdowns=_breakdowns(evaluations, measured, split),
        shoppers=_shoppers(inputs, split) if "recommender" in inputs else (),
        next_steps=_next_steps(settings["name"], rows, "identifiers" in inputs),
    )


def evaluations_of(inputs: Folders) -> dict[str, Path]:
    """Return the evaluations among a report's inputs by the recommender's name."""
    prefix = "evaluation."
    return {name.removeprefix(prefix): folder for name, folder in inputs.items() if name.startswith(prefix)}


def systems(evaluations: Mapping[str, Path], kinds: Mapping[str, str]) -> list[SystemResult]:
    """Turn stored evaluations into rows of a metrics table.

    Args:
        evaluations: Name -> folder of its evaluation.
        kinds: Name -> kind of recommender, which tells floors.
    """
    return [_system(name, folder, kinds.get(name, "")) for name, folder in evaluations.items()]


def stored_reports(folder: Path) -> dict[str, Report]:
    """Return the reports of one evaluation by how seen items were treated, `excluded` and `included`."""
    return {seen: Report.load(folder / seen) for seen in ("excluded", "included") if (folder / seen).is_dir()}


def shared_protocol(evaluations: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the protocols of all evaluations have in common."""
    cards = [report.protocol for folder in evaluations.values() for report in stored_reports(folder).values()]
    first, rest = cards[0], cards[1:]
    return {name: value for name, value in first.items() if all(card.get(name) == value for card in rest)}


def _system(name: str, folder: Path, kind: str) -> SystemResult:
    reports = stored_reports(folder)
    metrics = {seen: report.metrics for seen, report in reports.items()}
    margins = {}
    if "recall@10" in metrics.get("excluded", {}):
        margins = _margins(reports["excluded"].ranks)
    return SystemResult(
        name,
        metrics.get("excluded"),
        metrics.get("included"),
        floor=kind in FLOORS,
        main=name == MAIN,
        margins=margins,
    )


def _margins(ranks: Ranks, k: int = 10) -> dict[str, float]:
    """Return half the widths of the 95 % intervals of recall@k and ndcg@k over cases (normal approximation)."""
    found = (ranks >= 1) & (ranks <= k)
    gains = np.where(found, 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
    root = np.sqrt(max(len(ranks), 1))
    return {f"recall@{k}": float(1.96 * found.std() / root), f"ndcg@{k}": float(1.96 * gains.std() / root)}


def _lead(split: Split, rows: Sequence[SystemResult]) -> str:
    facts = split.protocol
    return (
        f"{len(rows)} recommenders measured on {facts['users']:,} users, {facts['items']:,} items and "
        f"{facts['interactions']:,} interactions, split by {facts['split']}; every list ranks the whole catalogue."
    )


def _breakdowns(evaluations: Mapping[str, Path], settings: EvaluationSettings, split: Split) -> list[Breakdown]:
    cases, headline = measured_cases(settings, split), settings.seen[0]
    if not len(cases) or max(settings.ks) < 10:
        return []
    ranks = {name: stored_reports(folder)[headline].ranks for name, folder in evaluations.items()}
    popularity = by_popularity(ranks, cases.targets, split.train.counts(split.n_items))
    return [popularity, by_history(ranks, cases.histories.lengths)]


def _next_steps(name: str, rows: Sequence[SystemResult], named: bool) -> list[str]:
    """Suggest what to do now: use it, bring the reader's own tables, and mend what loses to the floor."""
    steps = [
        f"Recommend for any history: `lexirec recommend {name} --history ITEM_ID ITEM_ID --explain`.",
        'Bring your own tables: write `[data]` with `items = "items.csv"`, `interactions = "events.csv"` and '
        '`text = ["title"]` into a file `shop.toml`, then `lexirec run shop.toml`.',
        f"See what a stage made: `lexirec show {name} {'identifiers' if named else 'data'}`.",
    ]
    losing = {standing.system for standing in standings(rows) if standing.verdict != "above"}
    if any(row.main and row.name in losing for row in rows):
        steps.append(
            "The model does not beat the floor yet: train longer, use a larger backbone or better vectors, "
            "and compare on the validation fold (`lexirec evaluate NAME --fold validation`)."
        )
    return steps


def _census(folder: Path | None) -> list[LevelCensus]:
    if folder is None:
        return []
    return [
        LevelCensus(row.depth, row.prefixes, row.tokens, row.largest, row.entropy, row.single_child_share)
        for row in census(Identifiers.load(folder)).depths
    ]


def _shoppers(inputs: Folders, split: Split) -> list[Shopper]:
    """Show the lists of a few test users, chosen once for all by a fixed seed, in words."""
    long_enough = np.flatnonzero(split.test.histories.lengths >= min(3, split.test.histories.lengths.max(initial=1)))
    if not len(long_enough):
        return []
    chosen = np.random.default_rng(0).choice(long_enough, min(_SHOPPERS, len(long_enough)), replace=False)
    cases = split.test.take(np.sort(chosen))
    lists = load_recommender(inputs["recommender"]).rank(cases.histories, k=_SHOWN, exclude_seen=True)
    names = item_names(load_catalog(inputs["data"]))
    user_ids = np.load(inputs["data"] / "user_ids.npy", allow_pickle=False)
    return [
        Shopper(
            name=str(user_ids[cases.users[row]]),
            history=[names[item] for item in cases.histories.row(row)],
            suggestions=[
                Suggestion(names[item], float(score), hit=item == cases.targets[row])
                for item, score in zip(lists.items[row], lists.scores[row], strict=True)
                if item >= 0
            ],
            target=names[cases.targets[row]],
        )
        for row in range(len(cases))
    ]

"""Stage of the report: metrics, breakdowns, learning curve, identifier census and example recommendations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.renamed import current
from lexirec.core.runs import OWN
from lexirec.data.splits import Split
from lexirec.evaluation.beyond_accuracy import MEASURES, beyond_accuracy
from lexirec.evaluation.case_lists import rank_cases
from lexirec.evaluation.context import EvaluationContext, beyond_accuracy_context
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.memorization import fewest_hops
from lexirec.evaluation.metrics import Ranks
from lexirec.evaluation.slices import by_coldness, by_hops, by_transition
from lexirec.models.gram.settings import GramSettings
from lexirec.models.loading import load_recommender
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.stages.data import Folders, item_names, load_catalog, load_split
from lexirec.pipeline.stages.evaluation import measured_cases
from lexirec.pipeline.stages.models import CURVE
from lexirec.reporting.breakdowns import by_history, by_popularity, by_slicing
from lexirec.reporting.content import (
    Breakdown,
    LearningCurve,
    LevelCensus,
    Listing,
    ReportContent,
    Shopper,
    Suggestion,
    SystemResult,
    standings,
)
from lexirec.reporting.published_rows import published_rows
from lexirec.reporting.run_report import write_report
from lexirec.reporting.tables import measure_text
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.report import census
from lexirec.training.arguments import METRIC

REFERENCES = ("transitions", "memory")
"""Kinds of the reference baselines, which every learned recommender should beat."""
_SHOPPERS, _SHOWN = 3, 5
_PLACES = 10


def make_report(settings: Mapping[str, Any], inputs: Folders, out: Path) -> None:
    """Write `report.md` with its figures; the arguments are those of `report_content`."""
    path = write_report(out, report_content(settings, inputs))
    path.with_name("summary.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")


def report_content(settings: Mapping[str, Any], inputs: Folders) -> ReportContent:
    """Collect the content of a report.

    Args:
        settings: The experiment's `name`, the `kinds` of its recommenders, its `evaluation`, and what was `left_out`.
        inputs: `data`, each `evaluation.NAME`, the `identifiers` if there are any, and the `recommender` of the example
            recommendations and the learning curve.
    """
    measured = EvaluationSettings.model_validate(settings["evaluation"])
    split = load_split(inputs["data"])
    evaluations = evaluations_of(inputs)
    rows = systems(evaluations, settings["kinds"])
    return ReportContent(
        title=settings["name"],
        lead=_lead(split, rows, settings.get("left_out", {})),
        systems=rows,
        published=published_rows(measured.published, rows, measured.unequal),
        protocol={**shared_protocol(evaluations), **_own_protocol(evaluations)},
        learning=_learning(inputs.get("recommender")),
        census=_census(inputs.get("identifiers")),
        breakdowns=_breakdowns(evaluations, measured, split),
        listings=_beyond_accuracy(evaluations, measured, inputs["data"]),
        shoppers=_shoppers(inputs, split) if "recommender" in inputs else (),
        next_steps=_next_steps(settings["name"], rows, inputs, split),
    )


def evaluations_of(inputs: Folders) -> dict[str, Path]:
    """Return the evaluations among a report's inputs by the recommender's name."""
    prefix = "evaluation."
    return {name.removeprefix(prefix): folder for name, folder in inputs.items() if name.startswith(prefix)}


def systems(evaluations: Mapping[str, Path], kinds: Mapping[str, str]) -> list[SystemResult]:
    """Return stored evaluations as rows of a metrics table.

    Args:
        evaluations: Name -> folder of its evaluation.
        kinds: Name -> kind of recommender, which identifies reference baselines.
    """
    own = [name for name in OWN if name in evaluations]
    return [_system(name, folder, kinds.get(name, ""), main=name in own[-1:]) for name, folder in evaluations.items()]


def stored_reports(folder: Path, *, lists: bool = False) -> dict[str, Report]:
    """Return the reports of one evaluation by treatment of seen items, `excluded` and `included`.

    Args:
        folder: Folder of the evaluation.
        lists: Whether to read the kept lists, too.
    """
    return {
        seen: Report.load(folder / seen, lists=lists) for seen in ("excluded", "included") if (folder / seen).is_dir()
    }


def shared_protocol(evaluations: Mapping[str, Path]) -> dict[str, Any]:
    """Return the protocol fields that are equal in all evaluations."""
    cards = [report.protocol for folder in evaluations.values() for report in stored_reports(folder).values()]
    first, rest = cards[0], cards[1:]
    return {name: value for name, value in first.items() if all(card.get(name) == value for card in rest)}


def _own_protocol(evaluations: Mapping[str, Path]) -> dict[str, Any]:
    """Return the model's search, and its settings that differ from the defaults."""
    if OWN[0] not in evaluations:
        return {}
    card = next(iter(stored_reports(evaluations[OWN[0]]).values())).protocol
    default = TSRecSettings() if card["recommender"] == "causal" else GramSettings()
    usual = dict(_flat(default.model_dump(mode="json", by_alias=False)))
    unusual = {
        name: value for name, value in _flat(current(card["settings"], type(default))) if usual.get(name) != value
    }
    lists = f"{card['recommender']}, {card['search']}"
    return {
        "model": lists,
        "model_settings": {**unusual, "all others": "default"} if unusual else "default",
    }


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their dotted names below `model.`, as `--set` takes them."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _learning(recommender: Path | None) -> LearningCurve | None:
    """Return the learning curve saved beside the recommender's weights, if there is one."""
    path = recommender / CURVE if recommender is not None else None
    if path is None or not path.is_file():
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))
    loss = [(int(row["step"]), row["loss"]) for row in rows if "loss" in row]
    chosen = [(int(row["step"]), row[METRIC]) for row in rows if METRIC in row]
    best = max(chosen, key=lambda point: point[1])[0] if chosen else None  # of equal values, training keeps the first
    return LearningCurve(loss, chosen, METRIC.removeprefix("validation_"), best)


def _system(name: str, folder: Path, kind: str, *, main: bool) -> SystemResult:
    reports = stored_reports(folder)
    metrics = {seen: report.metrics for seen, report in reports.items()}
    margins = {}
    if "recall@10" in metrics.get("excluded", {}):
        margins = _margins(reports["excluded"].ranks)
    return SystemResult(
        name,
        metrics.get("excluded"),
        metrics.get("included"),
        floor=kind in REFERENCES,
        main=main,
        margins=margins,
    )


def _margins(ranks: Ranks, k: int = 10) -> dict[str, float]:
    """Return half the widths of the 95 % intervals of recall@k and ndcg@k over cases (normal approximation)."""
    hits = (ranks >= 1) & (ranks <= k)
    gains = np.where(hits, 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
    root = np.sqrt(max(len(ranks), 1))
    return {f"recall@{k}": float(1.96 * hits.std() / root), f"ndcg@{k}": float(1.96 * gains.std() / root)}


def _lead(split: Split, rows: Sequence[SystemResult], left_out: Mapping[str, str]) -> str:
    facts = split.protocol
    return (
        f"{len(rows)} recommenders measured on {facts['users']:,} users, {facts['items']:,} items and "
        f"{facts['interactions']:,} interactions, split by {facts['split']}; all items are candidates."
        + "".join(f" {name} is left out: {why}." for name, why in left_out.items())
    )


def _breakdowns(evaluations: Mapping[str, Path], settings: EvaluationSettings, split: Split) -> list[Breakdown]:
    cases, headline = measured_cases(settings, split), settings.seen[0]
    if not len(cases) or max(settings.ks) < 10:
        return []
    ranks = {name: stored_reports(folder)[headline].ranks for name, folder in evaluations.items()}
    popularity = by_popularity(ranks, cases.targets, split.train.counts(split.n_items))
    cold = by_slicing("coldness of the target", by_coldness(cases.targets, split.train, split.n_items), ranks)
    hops = fewest_hops(cases, split.train, split.n_items)
    transitions = by_slicing("transition to the target", by_transition(hops), ranks, metric="ndcg")
    distances = by_slicing("hops to the target", by_hops(hops), ranks, metric="ndcg")
    return [popularity, cold, by_history(ranks, cases.histories.lengths), transitions, distances]


def _beyond_accuracy(evaluations: Mapping[str, Path], settings: EvaluationSettings, data: Path) -> list[Listing]:
    """Return the table of beyond-accuracy measures; none where lists were not kept."""
    split, catalog = load_split(data), load_catalog(data)
    cases, headline = measured_cases(settings, split), settings.seen[0]
    if not len(cases) or min(max(settings.ks), settings.keep_lists) < _PLACES:
        return []
    context = beyond_accuracy_context(EvaluationContext(catalog, split, cases), headline == "excluded")
    measures = {}
    for name, folder in evaluations.items():
        lists = Report.load(folder / headline).lists
        if lists is not None:
            measures[name] = beyond_accuracy(lists.items[:, :_PLACES], context)
    shown = [name for name in MEASURES if any(values[name] is not None for values in measures.values())]
    if not shown:
        return []
    rows = {name: [measure_text(each, values[each]) for each in shown] for name, values in measures.items()}
    note = "; ".join(f"{MEASURES[name].title}: {MEASURES[name].description}" for name in shown)
    heads = [f"{MEASURES[name].title} {MEASURES[name].aim}".rstrip() for name in shown]
    return [Listing(f"Beyond accuracy of the top {_PLACES}", heads, rows, note)]


def _next_steps(name: str, rows: Sequence[SystemResult], inputs: Folders, split: Split) -> list[str]:
    """Suggest next steps: recommend, use other data, change one setting, improve a model below the references."""
    steps = [
        f"Recommend for any history: `lexirec recommend {name} --history {_example(inputs, split)} --explain`.",
        "Use your own tables: `lexirec init items.csv events.csv --out mine.toml` writes an experiment for them, "
        "`lexirec run mine.toml` runs it.",
        f"Inspect a stage: `lexirec show {name} {'identifiers' if 'identifiers' in inputs else 'data'}`.",
    ]
    if any(row.main for row in rows):
        steps.append(
            "Change one setting: run the experiment again with `--set name=narrow --set model.search.num_beams=10`, "
            f"then `lexirec compare {name} narrow`; only stages that depend on the setting run again."
        )
    losing = {standing.system for standing in standings(rows) if standing.verdict != "above"}
    if any(row.main and row.name in losing for row in rows):
        steps.append(
            "The model is not above the reference baselines: train longer, use a larger backbone or better vectors, "
            "and compare on the validation fold (`lexirec evaluate NAME --fold validation`)."
        )
    return steps


def _example(inputs: Folders, split: Split) -> str:
    """Return the newest two item ids of a test history, quoted for the command line."""
    catalog, newest = load_catalog(inputs["data"]), split.test.histories.last(2)
    items = newest.row(0).tolist() if len(newest) else []
    return shlex.join(catalog.item_ids[item] for item in items) or "ITEM_ID ITEM_ID"


def _census(folder: Path | None) -> list[LevelCensus]:
    if folder is None:
        return []
    return [
        LevelCensus(row.depth, row.prefixes, row.tokens, row.largest, row.entropy, row.single_child_share)
        for row in census(Identifiers.load(folder)).depths
    ]


def _shoppers(inputs: Folders, split: Split) -> list[Shopper]:
    """Return recommendations by title for a few test users, sampled with a fixed seed."""
    long_enough = np.flatnonzero(split.test.histories.lengths >= min(3, split.test.histories.lengths.max(initial=1)))
    if not len(long_enough):
        return []
    chosen = np.random.default_rng(0).choice(long_enough, min(_SHOPPERS, len(long_enough)), replace=False)
    cases = split.test.take(np.sort(chosen))
    lists = rank_cases(load_recommender(inputs["recommender"]), cases, _SHOWN, exclude_seen=True)
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

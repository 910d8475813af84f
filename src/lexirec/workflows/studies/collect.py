"""Collect the results of a study's runs from the store: metrics, curves, costs, and the table `runs.parquet`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.manifest import read_manifest
from lexirec.core.runs import Stage
from lexirec.data.splits import Cases, Split
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.results import with_seeds
from lexirec.pipeline.stages.data import load_split
from lexirec.pipeline.stages.evaluation import measured_cases
from lexirec.pipeline.stages.models import CURVE
from lexirec.pipeline.stages.report import stored_reports
from lexirec.reporting.breakdowns import by_history, by_popularity
from lexirec.reporting.content import Breakdown
from lexirec.workflows.studies.cost import load_cost
from lexirec.workflows.studies.design import Row, Study, StudyRun
from lexirec.workflows.studies.meaning import Meaning, load_meaning
from lexirec.workflows.studies.plan import recommender_stage
from lexirec.workflows.studies.run import Outcome
from lexirec.workflows.studies.settings import StudySettings

TABLE = "runs.parquet"
_WEIGHTS = re.compile(r"^- weights: ([\d,]+)$", re.MULTILINE)


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage.

    Attributes:
        seconds: time.
        peak_memory: peak resident memory of the process during the stage, in bytes; None where it was not measured.
        bytes: size of the artifact.
    """

    seconds: float
    peak_memory: int | None
    bytes: int


@dataclass(frozen=True)
class RecommenderResult:
    """One evaluated recommender of a study: a row with one seed, or a baseline.

    Attributes:
        row: its row; for a baseline the reference's.
        seed: its seed.
        recommender: its name in the experiment.
        baseline: whether it is a baseline.
        reports: its evaluations by treatment of seen items.
        stages: its stages by name.
        costs: costs of its stages, by name.
        own: cost of the recommender's own stage.
        parameters: number of weights; None where it has none or the number is unknown.
        curve: its learning curve; empty without one.
        cost: results of the measure `cost`; empty if not measured.
        meaning: results of the measure `meaning`.
        groups: its metrics by groups of cases.
    """

    row: Row
    seed: int
    recommender: str
    baseline: bool
    reports: dict[str, Report] = field(repr=False)
    stages: dict[str, Stage] = field(repr=False)
    costs: dict[str, StageCost] = field(repr=False)
    own: StageCost
    parameters: int | None
    curve: list[dict[str, float]] = field(repr=False)
    cost: dict[str, float] = field(repr=False)
    meaning: list[Meaning] = field(repr=False)
    groups: list[Breakdown] = field(repr=False)

    @property
    def label(self) -> str:
        """Label of its row."""
        return self.recommender if self.baseline else self.row.label

    @property
    def seconds_per_user(self) -> float | None:
        """Seconds for one list in the headline evaluation."""
        report = next(iter(self.reports.values()), None)
        return report.seconds / max(1, len(report.ranks)) if report is not None else None


def gather(outcome: Outcome) -> list[RecommenderResult]:
    """Read the results of all finished runs: the studied recommender of each, and the baselines where it has any."""
    settings, results = outcome.study.settings, []
    for run in outcome.finished:
        stages = outcome.stages[run.name]
        results.append(_result(settings, run, stages, settings.recommender))
        results += [_result(settings, run, stages, name, baseline=True) for name in run.baselines]
    return results


def _result(
    settings: StudySettings, run: StudyRun, stages: Mapping[str, Stage], name: str, *, baseline: bool = False
) -> RecommenderResult:
    own = recommender_stage(settings.model_copy(update={"recommender": name}), stages)
    evaluation = stages[f"evaluation.{name}"]
    stored = {seen: with_seeds(each, stages, evaluation) for seen, each in stored_reports(evaluation.folder).items()}
    reports = _headline_first(stored, run)
    others = {"data": stages["data"]} if baseline else stages
    named = {stage: each for stage, each in others.items() if not stage.startswith(("evaluation.", "baselines."))}
    named |= {own.name: own, "evaluation": stages[f"evaluation.{name}"]}
    costs = {stage: _stage_cost(each) for stage, each in named.items()}
    return RecommenderResult(
        run.row,
        run.seed,
        name,
        baseline,
        reports,
        named,
        costs,
        costs[own.name],
        _parameters(own.folder),
        _curve(own.folder),
        load_cost(stages["cost"].folder) if "cost" in stages and not baseline else {},
        load_meaning(stages["meaning"].folder) if "meaning" in stages and not baseline else [],
        list(_groups(settings, run, stages, next(iter(reports.values())), name if baseline else run.row.label)),
    )


def _stage_cost(stage: Stage) -> StageCost:
    manifest = read_manifest(stage.folder)
    return StageCost(manifest.seconds, manifest.peak_memory, sum(entry.bytes for entry in manifest.files.values()))


def _headline_first(reports: dict[str, Report], run: StudyRun) -> dict[str, Report]:
    return {seen: reports[seen] for seen in run.experiment.evaluation.seen}


def _parameters(folder: Path) -> int | None:
    summary = folder / "summary.md"
    match = _WEIGHTS.search(summary.read_text(encoding="utf-8")) if summary.is_file() else None
    return int(match[1].replace(",", "")) if match else None


def _curve(folder: Path) -> list[dict[str, float]]:
    path = folder / CURVE
    rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return rows


def _groups(
    settings: StudySettings, run: StudyRun, stages: Mapping[str, Stage], report: Report, label: str
) -> Iterator[Breakdown]:
    if not settings.groups:
        return
    split: Split = load_split(stages["data"].folder)
    cases: Cases = measured_cases(run.experiment.evaluation, split)
    k = int(settings.metrics[0].partition("@")[2])
    if "popularity" in settings.groups:
        yield by_popularity({label: report.ranks}, cases.targets, split.train.counts(split.n_items), k=k)
    if "history" in settings.groups:
        yield by_history({label: report.ranks}, cases.histories.lengths, k=k)


# ---------------------------------------------------------------------------------------------------------- the table


def write_table(study: Study, results: list[RecommenderResult], folder: Path) -> Path:
    """Write `runs.parquet`: a row per run, metric, fold, treatment of seen items and group of cases.

    Columns: `study`, `row`, `data`, `reference`, `baseline`, `recommender`, `run` (the experiment's name), `seed`, an
    `axis.NAME` for every axis (numbers where all its labels are), `kind` of figure (`accuracy`, `meaning`, `cost`,
    `stage`), `metric`, `fold`, `seen`, `group` (of cases, or the stage), `cases`, `value`, `chance` (of meaning),
    `seconds` of training, `all_seconds` of all stages, `seconds_per_user`, `parameters`, `peak_memory` (bytes) and
    `stages` (name -> key).
    """
    rows = [{**_facts(study, each), **figure} for each in results for figure in _figures(each)]
    table = pa.Table.from_pylist(rows, schema=_schema(study))
    pq.write_table(table, folder / TABLE, compression="zstd")
    return folder / TABLE


def _schema(study: Study) -> pa.Schema:
    text = ("study", "row", "data", "recommender", "run")
    axes = {f"axis.{name}": pa.float64() if axis.numbers else pa.string() for name, axis in study.settings.axes.items()}
    return pa.schema(
        {
            **dict.fromkeys(text, pa.string()),
            **dict.fromkeys(("reference", "baseline"), pa.bool_()),
            "seed": pa.int64(),
            **axes,
            **dict.fromkeys(("kind", "metric", "fold", "seen", "group"), pa.string()),
            "cases": pa.int64(),
            **dict.fromkeys(("value", "chance", "seconds", "all_seconds", "seconds_per_user"), pa.float64()),
            **dict.fromkeys(("parameters", "peak_memory"), pa.int64()),
            "stages": pa.map_(pa.string(), pa.string()),
        }
    )


def _facts(study: Study, result: RecommenderResult) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for name, axis in study.settings.axes.items():
        label = result.row.chosen[name]
        axes[f"axis.{name}"] = axis.numbers[label] if axis.numbers else label
    return {
        "study": study.settings.name,
        "row": result.label,
        "data": result.row.data,
        "reference": result.row.reference and not result.baseline,
        "baseline": result.baseline,
        "recommender": result.recommender,
        "run": f"{study.settings.name}.{result.row.slug}",
        "seed": result.seed,
        **axes,
        "seconds": result.own.seconds,
        "all_seconds": sum(stage.seconds for stage in result.costs.values()),
        "seconds_per_user": result.seconds_per_user,
        "parameters": result.parameters,
        "peak_memory": result.own.peak_memory,
        "stages": [(name, stage.key) for name, stage in result.stages.items()],
    }


def _figures(result: RecommenderResult) -> Iterator[dict[str, Any]]:
    for seen, report in result.reports.items():
        where = {"kind": "accuracy", "fold": report.protocol.get("fold"), "seen": seen}
        for metric, value in report.metrics.items():
            yield {**where, "metric": metric, "group": "all", "cases": len(report.ranks), "value": value}
    seen, report = next(iter(result.reports.items()))
    for breakdown in result.groups:
        values = breakdown.values[result.label]
        for group, cases, value in zip(breakdown.groups, breakdown.cases, values, strict=True):
            where = {"kind": "accuracy", "fold": report.protocol.get("fold"), "seen": seen, "metric": breakdown.metric}
            yield {**where, "group": f"{breakdown.title}: {group}", "cases": cases, "value": value}
    for each in result.meaning:
        measure = {"metric": f"{each.of}: {each.measure}", "group": str(each.place)}
        yield {"kind": "meaning", **measure, "value": each.value, "chance": each.chance}
    for name, value in result.cost.items():
        yield {"kind": "cost", "metric": name, "value": value}
    for name, stage in result.costs.items():
        for metric in ("seconds", "peak_memory", "bytes"):
            yield {"kind": "stage", "metric": metric, "group": name, "value": getattr(stage, metric)}

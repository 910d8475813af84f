"""Results of finished experiments in a store: settings, evaluations, and metrics side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import MANIFEST as ARTIFACT
from lexirec.core.manifest import Manifest, read_manifest
from lexirec.core.runs import RunRecord, Stage, evaluations, find_run, recommenders
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.verdicts import card_seeds, seed_settings
from lexirec.models.loading import chosen
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.graph import VERSIONS
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages import evaluation
from lexirec.pipeline.stages.report import shared_protocol, stored_reports, systems
from lexirec.reporting.content import SystemResult
from lexirec.reporting.published_rows import PublishedRow, published_rows

_MEASURED_ALIKE = ("cases_digest", "catalog", "candidates", "level", "fold", "sample_users")
"""Protocol fields that must be equal for metrics to be compared."""
_CAUSES = ("split", "max_history", "k_core", "users", "items", "interactions", "data")
"""Protocol fields that usually explain a difference in those."""


def settings_behind(run: RunRecord, stage: Stage) -> dict[str, Any]:
    """Return the settings of an artifact and of all its inputs, without seeds: `stage: a.b` -> value.

    Stages that are no longer in the store contribute nothing.
    """
    by_key = {each.key: each.name for each in run.stages.values()}
    settings: dict[str, Any] = {}
    for each, manifest in _behind(run.stages, stage):
        settings |= {f"{each.name}: {name}": value for name, value in _flat(manifest.settings)}
        others = {name: key for name, key in manifest.inputs.items() if key not in by_key}
        settings |= {f"{each.name}: content of {name}": key for name, key in others.items()}
    return settings


def with_seeds(report: Report, stages: Mapping[str, Stage], evaluation: Stage) -> Report:
    """Return a stored report whose card names, as `seeds`, those of the recommender and of all that it was made from.

    A memory smoothed by vectors has no seed of its own, but its vectors may have; a seed of the evaluation, which draws
    cases, is none of the recommender's.

    Args:
        report: as stored by the evaluation.
        stages: all stages of the run, by name.
        evaluation: the stage of the evaluation.
    """
    seeds = card_seeds(report.protocol)
    behind: dict[str, int] = {}
    for stage, manifest in _behind(stages, evaluation):
        if stage.key != evaluation.key and stage.kind != "data":
            behind |= {f"{stage.name}: {name}": seed for name, seed in seed_settings(manifest.settings)}
    if seeds is None and not behind:
        return report
    return replace(report, protocol={**report.protocol, "seeds": {**(seeds or {}), **behind}})


def _behind(stages: Mapping[str, Stage], stage: Stage) -> Iterator[tuple[Stage, Manifest]]:
    """Yield the manifests of an artifact and of all its inputs that are in the store, each once."""
    by_key = {each.key: each for each in stages.values()}
    waiting, visited = [stage], set()
    while waiting:
        each = waiting.pop()
        if each.key in visited or not (each.folder / ARTIFACT).is_file():
            continue
        visited.add(each.key)
        manifest = read_manifest(each.folder)
        yield each, manifest
        waiting += [by_key[key] for key in manifest.inputs.values() if key in by_key]


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif name != "seed":
            yield f"{above}{name}", value


def evaluate_named(store: Store, name: str, fold: str, wanted: str | None = None, *, seen: str | None = None) -> Report:
    """Return the evaluation of an experiment's recommender; it is run if the store lacks it.

    Args:
        store: Store of the experiment.
        name: The experiment.
        fold: `test` or `validation`.
        wanted: Name of the recommender; by default the model or the best baseline.
        seen: `excluded` or `included` seen items; by default the experiment's headline.

    Raises:
        ArtifactError: the experiment has not finished, or has no such recommender.
        SettingsError: `fold` or `seen` has another value.
    """
    run = find_run(store, name)
    stored = run.settings["evaluation"]
    seen = seen or stored["seen"][0]
    both = stored["seen"] if seen in stored["seen"] else [*stored["seen"], seen]
    settings = validate_settings({**stored, "fold": fold, "seen": both}, EvaluationSettings, "evaluate")
    recommender = chosen(run, wanted)
    inputs = {"data": run.stage("data"), "recommender": recommenders(run)[recommender]}
    for each in inputs.values():
        store.check(each.folder)
    stage = StageRunner(store, VERSIONS).stage(f"evaluation.{recommender}", evaluation.measure, settings, inputs)
    return stored_reports(stage.folder)[seen]


def kinds(run: RunRecord) -> dict[str, str]:
    """Return the kinds of an experiment's baselines by name."""
    return {name: str(settings["kind"]) for name, settings in run.settings["baselines"].items()}


def measured(run: RunRecord) -> list[SystemResult]:
    """Return an experiment's stored metrics, a row per recommender."""
    return systems(evaluations(run), kinds(run))


def published_beside(run: RunRecord) -> list[PublishedRow]:
    """Return the published figures of an experiment's settings, each beside the recommender that it names."""
    stored = run.settings.get("evaluation", {})
    if not stored.get("published"):
        return []
    settings = validate_settings(dict(stored), EvaluationSettings, run.name)
    return published_rows(settings.published, measured(run), settings.unequal)


def side_by_side(store: Store, names: Sequence[str]) -> list[SystemResult]:
    """Return the stored metrics of several experiments; recommenders that they share appear once.

    Raises:
        ArtifactError: their protocols differ; the message names the fields.
    """
    runs = [find_run(store, name) for name in names]
    for run in runs[1:]:
        _check_protocols(runs[0], run)
    rows: dict[str, SystemResult] = {}
    for run in runs:
        for row in measured(run):
            key = run.stage(f"evaluation.{row.name}").key
            label = row.name if len(runs) == 1 else f"{run.name}: {row.name}"
            rows.setdefault(key, SystemResult(label, row.excluded, row.included, floor=row.floor, margins=row.margins))
    return list(rows.values())


def protocol_difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """Name the fields in which two protocols differ, such as "max_history 20 and 3"; None if they are comparable."""
    if all(here.get(name) == there.get(name) for name in _MEASURED_ALIKE):
        return None
    names = [name for name in (*_CAUSES, *_MEASURED_ALIKE) if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {_short(here.get(name))} and {_short(there.get(name))}" for name in names[:4])


def incomparable(first: str, other: str, difference: str) -> ArtifactError:
    """Return the error for two systems with different protocols."""
    return ArtifactError(
        f"{first} and {other} were measured under different protocols ({difference}); compare runs of one protocol"
    )


def _check_protocols(first: RunRecord, other: RunRecord) -> None:
    difference = protocol_difference(_protocol(first), _protocol(other))
    if difference is not None:
        raise incomparable(first.name, other.name, difference)


def _protocol(run: RunRecord) -> dict[str, Any]:
    folders = evaluations(run)
    if not folders:
        raise ArtifactError(f"{run.name} has no evaluation; add [baselines.NAME] or [model] to its experiment")
    return shared_protocol(folders)


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text

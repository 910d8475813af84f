"""What finished experiments left in a store: their recommenders, evaluations and how they compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import MANIFEST as ARTIFACT
from lexirec.core.manifest import read_manifest
from lexirec.core.runs import RunRecord, Stage, evaluations, find_run, recommenders
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import chosen
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.graph import VERSIONS
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages import evaluation
from lexirec.pipeline.stages.report import shared_protocol, stored_reports, systems
from lexirec.reporting.content import SystemResult

_MEASURED_ALIKE = ("cases_digest", "catalog", "candidates", "level", "fold", "sample_users")
"""Fields of the protocol that must be equal where metrics stand side by side."""
_TELLING = ("split", "max_history", "k_core", "users", "items", "interactions", "data")
"""Fields that tell why they are not."""


def settings_behind(run: RunRecord, step: Stage) -> dict[str, Any]:
    """Return all settings that an artifact rests on, seeds left out: `stage: a.b` -> value.

    Stages that are no longer in the store tell nothing.
    """
    made = {each.key: each for each in run.stages.values()}
    found: dict[str, Any] = {}
    waiting, visited = [step], set()
    while waiting:
        each = waiting.pop()
        if each.key in visited or not (each.folder / ARTIFACT).is_file():
            continue
        visited.add(each.key)
        manifest = read_manifest(each.folder)
        found |= {f"{each.name}: {name}": value for name, value in _flat(manifest.settings)}
        for name, key in manifest.inputs.items():
            if key in made:
                waiting.append(made[key])
            else:
                found[f"{each.name}: content of {name}"] = key
    return found


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif name != "seed":
            yield f"{above}{name}", value


def evaluate_named(store: Store, name: str, fold: str, wanted: str | None = None, *, seen: str | None = None) -> Report:
    """Return the evaluation of an experiment's recommender; what the store does not hold is measured.

    Args:
        store: Where the experiment is.
        name: The experiment.
        fold: `test` or `validation`.
        wanted: A recommender of the experiment instead of its model or best baseline.
        seen: Whether seen items are excluded or included; by default the experiment's headline.

    Raises:
        ArtifactError: the experiment has not finished, or has no such recommender.
        SettingsError: there is no such fold, or `seen` is neither.
    """
    run = find_run(store, name)
    stored = run.settings["evaluation"]
    seen = seen or stored["seen"][0]
    both = stored["seen"] if seen in stored["seen"] else [*stored["seen"], seen]
    settings = validate_settings({**stored, "fold": fold, "seen": both}, EvaluationSettings, "evaluate")
    recommender = chosen(run, wanted)
    inputs = {"data": run.stage("data"), "recommender": recommenders(run)[recommender]}
    step = StageRunner(store, VERSIONS).stage(f"evaluation.{recommender}", evaluation.measure, settings, inputs)
    return stored_reports(step.folder)[seen]


def kinds(run: RunRecord) -> dict[str, str]:
    """Return the kinds of an experiment's baselines by name."""
    return {name: str(settings["kind"]) for name, settings in run.settings["baselines"].items()}


def measured(run: RunRecord) -> list[SystemResult]:
    """Return an experiment's stored metrics, a row for each recommender."""
    return systems(evaluations(run), kinds(run))


def side_by_side(store: Store, names: Sequence[str]) -> list[SystemResult]:
    """Return the stored metrics of several experiments; what they have in common stands there once.

    Raises:
        ArtifactError: they were not measured alike; the message names the fields that differ.
    """
    runs = [find_run(store, name) for name in names]
    for run in runs[1:]:
        _check_alike(runs[0], run)
    rows: dict[str, SystemResult] = {}
    for run in runs:
        for row in measured(run):
            key = run.stage(f"evaluation.{row.name}").key
            label = row.name if len(runs) == 1 else f"{run.name}: {row.name}"
            rows.setdefault(key, SystemResult(label, row.excluded, row.included, floor=row.floor, margins=row.margins))
    return list(rows.values())


def told_apart(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """Say where two protocols differ, such as "max_history 20 and 3"; None where figures may stand side by side."""
    if all(here.get(name) == there.get(name) for name in _MEASURED_ALIKE):
        return None
    names = [name for name in (*_TELLING, *_MEASURED_ALIKE) if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {_short(here.get(name))} and {_short(there.get(name))}" for name in names[:4])


def not_alike(first: str, other: str, told: str) -> ArtifactError:
    """Return the error for two systems whose figures may not stand side by side."""
    return ArtifactError(f"{first} and {other} were not measured alike ({told}); compare experiments of one protocol")


def _check_alike(first: RunRecord, other: RunRecord) -> None:
    told = told_apart(_protocol(first), _protocol(other))
    if told is not None:
        raise not_alike(first.name, other.name, told)


def _protocol(run: RunRecord) -> dict[str, Any]:
    found = evaluations(run)
    if not found:
        raise ArtifactError(f"{run.name} has measured nothing; add [baselines.NAME] or [model] to its experiment")
    return shared_protocol(found)


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text

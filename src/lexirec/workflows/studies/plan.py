"""What a study would do: its stages, those that several runs share, those to be made, and what that would take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import Manifest, Recipe, read_manifest
from lexirec.core.runs import Stage, State, newest_run
from lexirec.core.store import Store
from lexirec.pipeline import graph
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.workflows.studies.cost import CostSettings, measure_cost
from lexirec.workflows.studies.design import Study, StudyRun
from lexirec.workflows.studies.meaning import MeaningSettings, measure_meaning
from lexirec.workflows.studies.settings import StudySettings

_ALIKE = 0.9
"""Manifests whose likeness is at least this share of the best one's count as like stages."""


@dataclass(frozen=True)
class PlannedStage:
    """One stage that the study needs, once, however many runs read it.

    Attributes:
        step: the stage, under the name that the first run gives it.
        recipe: what it is made from.
        runs: how many runs need it.
        seconds: how long it took, or is expected to take from like stages in the store; None where there is none.
    """

    step: Stage
    recipe: Recipe
    runs: int
    seconds: float | None

    @property
    def state(self) -> State:
        """Whether it is done, new, stale or unfinished."""
        return self.step.state


@dataclass(frozen=True)
class StudyPlan:
    """What a study would do.

    Attributes:
        stages: all stages by key, in the order in which they would be made.
        steps: run -> its steps by name.
    """

    stages: dict[str, PlannedStage]
    steps: dict[str, dict[str, Stage]] = field(repr=False)

    @property
    def existing(self) -> list[PlannedStage]:
        """Stages that the store holds."""
        return [stage for stage in self.stages.values() if stage.state == "done"]

    @property
    def shared(self) -> list[PlannedStage]:
        """Stages that more than one run reads."""
        return [stage for stage in self.stages.values() if stage.runs > 1]

    @property
    def to_do(self) -> list[PlannedStage]:
        """Stages that have to be made."""
        return [stage for stage in self.stages.values() if stage.state != "done"]

    @property
    def seconds(self) -> float:
        """Seconds that the stages to be made are expected to take, those left out whose like was never made."""
        return sum(stage.seconds for stage in self.to_do if stage.seconds is not None)

    @property
    def unknown(self) -> list[PlannedStage]:
        """Stages to be made whose like was never made."""
        return [stage for stage in self.to_do if stage.seconds is None]

    def summary(self) -> str:
        """Say the same in a sentence."""
        counts = f"{len(self.stages):,} stages, {len(self.existing):,} done, {len(self.to_do):,} to do"
        saved = sum(stage.runs - 1 for stage in self.stages.values())
        shared = f"{len(self.shared):,} shared by several runs, which saves making {saved:,}"
        return f"{len(self.steps):,} runs, {counts}; {shared}; {self.cost()}"

    def cost(self) -> str:
        """Say how long it is expected to take."""
        if not self.to_do:
            return "nothing is left to do"
        if len(self.unknown) == len(self.to_do):
            return "cost unknown: nothing like it is in the store"
        more = f", and {len(self.unknown):,} stages of unknown cost" if self.unknown else ""
        return f"about {duration(self.seconds)}{more}, by like stages in the store"


def plan_study(study: Study, store: Store) -> StudyPlan:
    """Walk all runs without making anything.

    Raises:
        DataError: a file of data is missing.
    """
    like, steps = LikeStages(store), {}
    first: dict[str, tuple[Stage, Recipe]] = {}
    runs: dict[str, int] = {}
    for run in study.runs:
        runner = StageRunner(store, VERSIONS, act=False, before=_before(store, run))
        steps[run.name] = walk_run(study.settings, run, runner)
        for step in runner.stages:
            first.setdefault(step.key, (step, runner.recipes[step.key]))
        for key in {step.key for step in runner.stages}:
            runs[key] = runs.get(key, 0) + 1
    stages = {key: PlannedStage(step, recipe, runs[key], like.seconds(recipe)) for key, (step, recipe) in first.items()}
    return StudyPlan(stages, steps)


def _before(store: Store, run: StudyRun) -> dict[str, str]:
    before = newest_run(store, run.experiment.name)
    return {name: step.key for name, step in before.stages.items()} if before else {}


class LikeStages:
    """How long stages like a given one took, by the manifests of a store."""

    def __init__(self, store: Store) -> None:
        """Look into a store when asked."""
        self._store = store
        self._known: dict[str, list[tuple[Manifest, set[tuple[str, str]]]]] = {}

    def seconds(self, recipe: Recipe) -> float | None:
        """Return the median time of the stages most like this one; None where there is none of its kind.

        Likeness is the share of settings and inputs that are equal, where inputs (above all the data) count double.
        Times are scaled by the number of epochs.
        """
        known = self._stages(recipe.stage)
        same = next((manifest for manifest, _ in known if manifest.key == recipe.key), None)
        if same is not None:
            return same.seconds
        ours, kind = traits(recipe.settings, recipe.inputs), _kind(recipe.settings)
        found = [(_likeness(ours, theirs), manifest) for manifest, theirs in known if _kind(manifest.settings) == kind]
        best = max((likeness for likeness, _ in found), default=0.0)
        close = [manifest for likeness, manifest in found if likeness >= _ALIKE * best]
        times = [manifest.seconds * _epochs(recipe.settings, manifest.settings) for manifest in close]
        return median(times) if times else None

    def learn(self, step: Stage) -> None:
        """Take notice of a stage that has been made meanwhile."""
        if step.kind in self._known:
            self._add(self._known[step.kind], read_manifest(step.folder))

    def _stages(self, stage: str) -> list[tuple[Manifest, set[tuple[str, str]]]]:
        if stage not in self._known:
            self._known[stage] = []
            for folder in self._store.artifacts(stage):
                try:
                    self._add(self._known[stage], read_manifest(folder))
                except ArtifactError:
                    continue  # damaged: `lexirec verify` tells
        return self._known[stage]

    @staticmethod
    def _add(known: list[tuple[Manifest, set[tuple[str, str]]]], manifest: Manifest) -> None:
        known.append((manifest, traits(manifest.settings, manifest.inputs)))


def traits(settings: Mapping[str, Any], inputs: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return settings by their dotted names and inputs (twice) as pairs, to be compared."""
    pairs = {(name, repr(value)) for name, value in flat(settings) if not name.endswith("seed")}
    return pairs | {(f"input {place} {name}", key) for name, key in inputs.items() for place in range(2)}


def flat(settings: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """Yield nested settings by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _likeness(ours: set[tuple[str, str]], theirs: set[tuple[str, str]]) -> float:
    return len(ours & theirs) / max(1, len(ours | theirs))


def _kind(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    model = settings.get("model")
    return settings.get("kind"), model.get("kind") if isinstance(model, Mapping) else None


def _epochs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Return how much longer the training is."""
    ratio, there = 1.0, dict(flat(theirs))
    for name, value in flat(ours):
        if name.endswith("epochs") and value and there.get(name):
            ratio *= value / there[name]
    return ratio


def duration(seconds: float) -> str:
    """Write a time for people: 40 s, 12 min, 1 h 50 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


# --------------------------------------------------------------------------------------------------------------- stages
# The stages of one run of a study: those of its experiment up to the evaluations, and what the study measures.


VERSIONS: Mapping[str, int] = {**graph.VERSIONS, "cost": 1, "meaning": 1}
"""Versions of the stages, those of studies among them."""


def walk_run(settings: StudySettings, run: StudyRun, runner: StageRunner) -> dict[str, Stage]:
    """Take every step of a run; steps by their names.

    Reports of single experiments are left out: the study has its own.
    """
    runner.until = "evaluation"
    with suppress(StopRequested):
        graph.walk(run.experiment, runner)
    runner.until = None
    steps = {step.name: step for step in runner.stages}
    if "meaning" in settings.measures:
        given = {name: steps.get(name) for name in ("data", "codes", "identifiers", "neighbors")}
        runner.stage("meaning", measure_meaning, MeaningSettings(), given)
    if "cost" in settings.measures:
        given = {"data": steps["data"], "recommender": recommender_step(settings, steps)}
        runner.stage("cost", measure_cost, CostSettings(), given)
    return {step.name: step for step in runner.stages}


def recommender_step(settings: StudySettings, steps: Mapping[str, Stage]) -> Stage:
    """Return the step that makes the recommender that is studied."""
    name = settings.recommender
    return next(steps[known] for known in (name, f"baselines.{name}", f"fused.{name}") if known in steps)

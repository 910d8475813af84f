"""Plan a study: its stages, those shared by several runs, those to run, and their expected time."""

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
"""Stages whose similarity is at least this share of the best one's count as similar."""


@dataclass(frozen=True)
class PlannedStage:
    """One stage of the study, shared by all runs that need it.

    Attributes:
        stage: the stage, with the name that the first run gives it.
        recipe: its recipe.
        runs: number of runs that need it.
        seconds: time it took, or is expected to take by similar stages in the store; None without any.
    """

    stage: Stage
    recipe: Recipe
    runs: int
    seconds: float | None

    @property
    def state(self) -> State:
        """Whether it is done, new, stale or unfinished."""
        return self.stage.state


@dataclass(frozen=True)
class StudyPlan:
    """The stages of a study before it runs.

    Attributes:
        stages: all stages by key, in the order in which they would run.
        by_run: run -> its stages by name.
    """

    stages: dict[str, PlannedStage]
    by_run: dict[str, dict[str, Stage]] = field(repr=False)

    @property
    def existing(self) -> list[PlannedStage]:
        """Stages that the store holds."""
        return [stage for stage in self.stages.values() if stage.state == "done"]

    @property
    def shared(self) -> list[PlannedStage]:
        """Stages that more than one run needs."""
        return [stage for stage in self.stages.values() if stage.runs > 1]

    @property
    def to_do(self) -> list[PlannedStage]:
        """Stages to run."""
        return [stage for stage in self.stages.values() if stage.state != "done"]

    @property
    def seconds(self) -> float:
        """Expected seconds of the stages to run, without those of unknown cost."""
        return sum(stage.seconds for stage in self.to_do if stage.seconds is not None)

    @property
    def unknown(self) -> list[PlannedStage]:
        """Stages to run without a similar one in the store."""
        return [stage for stage in self.to_do if stage.seconds is None]

    def summary(self) -> str:
        """Return a summary in one sentence."""
        counts = f"{len(self.stages):,} stages, {len(self.existing):,} done, {len(self.to_do):,} to do"
        saved = sum(stage.runs - 1 for stage in self.stages.values())
        shared = f"{len(self.shared):,} shared by several runs, which saves {saved:,}"
        return f"{len(self.by_run):,} runs, {counts}; {shared}; {self.cost()}"

    def cost(self) -> str:
        """Return the expected time in words."""
        if not self.to_do:
            return "nothing left to do"
        if len(self.unknown) == len(self.to_do):
            return "cost unknown: the store has no similar stages"
        more = f", and {len(self.unknown):,} stages of unknown cost" if self.unknown else ""
        return f"about {duration(self.seconds)}{more}, by similar stages in the store"


def plan_study(study: Study, store: Store) -> StudyPlan:
    """Plan all runs without executing any stage.

    Raises:
        DataError: a file of data is missing.
    """
    similar, by_run = SimilarStages(store), {}
    first: dict[str, tuple[Stage, Recipe]] = {}
    runs: dict[str, int] = {}
    for run in study.runs:
        runner = StageRunner(store, VERSIONS, act=False, before=_before(store, run))
        by_run[run.name] = walk_run(study.settings, run, runner)
        for stage in runner.stages:
            first.setdefault(stage.key, (stage, runner.recipes[stage.key]))
        for key in {stage.key for stage in runner.stages}:
            runs[key] = runs.get(key, 0) + 1
    stages = {
        key: PlannedStage(stage, recipe, runs[key], similar.seconds(recipe)) for key, (stage, recipe) in first.items()
    }
    return StudyPlan(stages, by_run)


def _before(store: Store, run: StudyRun) -> dict[str, str]:
    before = newest_run(store, run.experiment.name)
    return {name: stage.key for name, stage in before.stages.items()} if before else {}


class SimilarStages:
    """Times of similar stages, by the manifests of a store."""

    def __init__(self, store: Store) -> None:
        """Read the manifests of a store on demand."""
        self._store = store
        self._known: dict[str, list[tuple[Manifest, set[tuple[str, str]]]]] = {}

    def seconds(self, recipe: Recipe) -> float | None:
        """Return the median time of the most similar stages; None without any of its kind.

        Similarity is the share of equal settings and inputs, with inputs (above all the data) counted twice. Times are
        scaled by the number of epochs.
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

    def add(self, stage: Stage) -> None:
        """Add a stage that has finished meanwhile."""
        if stage.kind in self._known:
            self._add(self._known[stage.kind], read_manifest(stage.folder))

    def _stages(self, stage: str) -> list[tuple[Manifest, set[tuple[str, str]]]]:
        if stage not in self._known:
            self._known[stage] = []
            for folder in self._store.artifacts(stage):
                try:
                    self._add(self._known[stage], read_manifest(folder))
                except ArtifactError:
                    continue  # damaged: `lexirec verify` reports it
        return self._known[stage]

    @staticmethod
    def _add(known: list[tuple[Manifest, set[tuple[str, str]]]], manifest: Manifest) -> None:
        known.append((manifest, traits(manifest.settings, manifest.inputs)))


def traits(settings: Mapping[str, Any], inputs: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return settings by dotted name, and inputs twice, as a set of pairs."""
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
    """Return the ratio of the numbers of epochs."""
    ratio, there = 1.0, dict(flat(theirs))
    for name, value in flat(ours):
        if name.endswith("epochs") and value and there.get(name):
            ratio *= value / there[name]
    return ratio


def duration(seconds: float) -> str:
    """Format a time: 40 s, 12 min, 1 h 50 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


# ----------------------------------------------------------------------------------------------- stages of one run


VERSIONS: Mapping[str, int] = {**graph.VERSIONS, "cost": 1, "meaning": 1}
"""Code versions of the stages, including those of studies."""


def walk_run(settings: StudySettings, run: StudyRun, runner: StageRunner) -> dict[str, Stage]:
    """Add every stage of a run, up to the evaluations and the study's measures; return them by name.

    Reports of single experiments are left out: the study has its own.
    """
    runner.until = "evaluation"
    with suppress(StopRequested):
        graph.walk(run.experiment, runner)
    runner.until = None
    stages = {stage.name: stage for stage in runner.stages}
    if "meaning" in settings.measures:
        given = {name: stages.get(name) for name in ("data", "codes", "identifiers", "neighbors")}
        runner.stage("meaning", measure_meaning, MeaningSettings(), given)
    if "cost" in settings.measures:
        given = {"data": stages["data"], "recommender": recommender_stage(settings, stages)}
        runner.stage("cost", measure_cost, CostSettings(), given)
    return {stage.name: stage for stage in runner.stages}


def recommender_stage(settings: StudySettings, stages: Mapping[str, Stage]) -> Stage:
    """Return the stage of the studied recommender."""
    name = settings.recommender
    return next(stages[known] for known in (name, f"baselines.{name}", f"fused.{name}") if known in stages)

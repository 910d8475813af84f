"""Records of finished runs: an experiment's settings and the artifacts of its stages, stored as JSON below `runs/`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.manifest import read_manifest
from lexirec.core.store import Store, write_json

State = Literal["done", "new", "stale", "unfinished"]

FUSED = "fused"
"""Name of the ensemble of an experiment that has only one, and kind of every ensemble's stage."""

EXPERTS = "experts"
"""First part of the names of the stages that train an ensemble's experts."""

OWN = ("model", "reinforced", "untrained", "alone", "zero-shot", "fine-tuned")
"""Names of an experiment's own models (not baselines), the main one last.

Of a run: the trained model, and the same after reinforcement learning. Of a transfer: the source's architecture
untrained, a model trained on the target alone, the source's model on the target, and that one fine-tuned there.
"""


@dataclass(frozen=True)
class Stage:
    """One stage of one experiment.

    Attributes:
        name: Name in the experiment, such as `baselines.memory`.
        kind: Stage of the pipeline, also its folder in the store; nearly always the first part of the name.
        key: Key its artifact is stored under.
        folder: Folder of its artifact, whether it exists yet or not.
        state: done, unfinished (can be resumed), stale (done before with other settings) or new.
    """

    name: str
    kind: str
    key: str
    folder: Path
    state: State

    @property
    def group(self) -> str:
        """First part of the name, such as `baselines`."""
        return self.name.partition(".")[0]


RUNS = "runs"
"""Folder of the store that holds the records, `runs/<name>/<time>.json`."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run of an experiment.

    Attributes:
        name: Name of the experiment.
        finished: Time of completion, UTC, ISO 8601.
        settings: All settings of the experiment.
        stages: Stages by name.
        left_out: Parts of the experiment that could not be made, by their names in the file, such as
            `baselines.sasrec` -> why.
    """

    name: str
    finished: str
    settings: dict[str, Any]
    stages: dict[str, Stage]
    left_out: dict[str, str] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """Return a stage by its name.

        Raises:
            ArtifactError: the experiment has no such stage; the message says why where it was left out.
        """
        if name not in self.stages:
            hint = self.why_left_out(name.partition(".")[2]) or did_you_mean(name, self.stages)
            raise ArtifactError(f"{self.name} has no stage '{name}'; it has {', '.join(self.stages)}.{hint}")
        return self.stages[name]

    def why_left_out(self, recommender: str) -> str:
        """Return `" 'x' was left out of this run: reason"`, or an empty string where it was not left out."""
        reasons = (self.left_out.get(f"{table}.{recommender}") for table in ("baselines", "ensemble"))
        return next((f" '{recommender}' was left out of this run: {why}" for why in reasons if why), "")

    def variants(self, group: str) -> dict[str, Stage]:
        """Return the stages of one group by the second part of their names, such as all baselines."""
        return {stage.name.partition(".")[2]: stage for stage in self.stages.values() if stage.group == group}


def record(
    store: Store, name: str, settings: Settings, stages: list[Stage], left_out: Mapping[str, str] | None = None
) -> RunRecord:
    """Record an experiment's run as finished, with what was left out of it, and return the record."""
    finished = datetime.now(UTC).isoformat(timespec="microseconds")
    values = settings.model_dump(mode="json")
    keys = {stage.name: [stage.kind, stage.key] for stage in stages}
    content = {"name": name, "finished": finished, "settings": values, "steps": keys}
    content |= {"left_out": dict(left_out)} if left_out else {}
    write_json(store.root / RUNS / name / f"{finished.replace(':', '')}.json", content)
    return RunRecord(name, finished, values, {stage.name: stage for stage in stages}, dict(left_out or {}))


def runs(store: Store, name: str) -> Iterator[RunRecord]:
    """Yield the finished runs of an experiment, the newest first."""
    for path in sorted((store.root / RUNS / name).glob("*.json"), reverse=True):
        content = json.loads(path.read_text("utf-8"))
        stages, left_out = _stages(store, content["steps"]), content.get("left_out", {})
        yield RunRecord(name, content["finished"], content["settings"], stages, left_out)


def newest_run(store: Store, name: str) -> RunRecord | None:
    """Return the newest finished run of an experiment, or None."""
    return next(runs(store, name), None)


def find_run(store: Store, name: str, seed: int | None = None) -> RunRecord:
    """Return the newest finished run of an experiment, or the newest of those with the given seed.

    Raises:
        ArtifactError: there is none.
    """
    if not any(runs(store, name)):
        names = run_names(store)
        has = f"it has {', '.join(names)}" if names else "it has none yet: lexirec run EXPERIMENT.toml makes one"
        raise ArtifactError(
            f"the store {store.root} has no finished experiment '{name}'; {has}.{did_you_mean(name, names)}"
        )
    newest = next((run for run in runs(store, name) if seed in (None, run.settings.get("seed"))), None)
    if newest is None:
        raise ArtifactError(
            f"{name} has no finished run with seed {seed}; finished seeds: "
            f"{', '.join(map(str, run_seeds(store, name)))}. lexirec run EXPERIMENT.toml --set seed={seed} makes it"
        )
    return newest


def run_seeds(store: Store, name: str) -> list[int]:
    """Return the seeds with which an experiment has finished, the smallest first."""
    return sorted({run.settings["seed"] for run in runs(store, name) if "seed" in run.settings})


def run_names(store: Store) -> list[str]:
    """Return the names of all experiments with a finished run in a store."""
    return sorted(path.name for path in (store.root / RUNS).glob("*") if any(path.glob("*.json")))


def _stages(store: Store, keys: Mapping[str, Sequence[str]]) -> dict[str, Stage]:
    return {name: Stage(name, kind, key, store.path(kind, key), "done") for name, (kind, key) in keys.items()}


def seconds(stage: Stage) -> float:
    """Return the computing time of a finished stage, from its manifest."""
    return read_manifest(stage.folder).seconds


# ---------------------------------------------------------------------------------------- recommenders and evaluations


def recommenders(run: RunRecord) -> dict[str, Stage]:
    """Return an experiment's recommenders by name: experts, baselines, its own models (`OWN`) and ensembles."""
    experts = {name: stage for name, stage in run.variants(EXPERTS).items() if "." not in name}
    own = {name: run.stages[name] for name in OWN if name in run.stages}
    ensembles = {name or FUSED: stage for name, stage in run.variants(FUSED).items()}
    return experts | run.variants("baselines") | own | ensembles


def evaluations(run: RunRecord) -> dict[str, Path]:
    """Return the folders of an experiment's evaluations by the recommender's name."""
    return {name: stage.folder for name, stage in run.variants("evaluation").items()}

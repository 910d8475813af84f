"""Records of finished runs: which experiment, with which settings, made which stages of the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.manifest import read_manifest
from lexirec.core.store import Store, write_json

State = Literal["done", "new", "stale", "unfinished"]


FUSED = "fused"
"""What the one recommender of a table `[ensemble]` is called."""


EXPERTS = "experts"
"""What the steps of experts are called after."""


OWN = ("model", "reinforced", "untrained", "alone", "zero-shot", "fine-tuned")
"""What the experiment's own recommenders are called beside its baselines, the one it is about last: the trained one,
that one polished; of a transfer the carried one untrained, one that never saw the source, the carried one, that one
fine-tuned."""


@dataclass(frozen=True)
class Stage:
    """One stage of one experiment.

    Attributes:
        name: What the experiment calls it, such as `baselines.memory`.
        kind: Which stage of the pipeline it is, also its folder in the store; nearly always the first part of the name.
        key: What its artifact is stored under.
        folder: Where its artifact is, or will be.
        state: How it was found: done, unfinished (work to carry on), stale (done with other settings before) or new.
    """

    name: str
    kind: str
    key: str
    folder: Path
    state: State

    @property
    def group(self) -> str:
        """What the step belongs to in the experiment, `baselines`."""
        return self.name.partition(".")[0]


RUNS = "runs"
"""Folder of the store in which finished runs are recorded, `runs/<name>/<time>.json`."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run of an experiment.

    Attributes:
        name: The experiment's name.
        finished: When it ended, UTC, ISO 8601.
        settings: All settings of the experiment.
        stages: Its stages by name.
    """

    name: str
    finished: str
    settings: dict[str, Any]
    stages: dict[str, Stage]

    def stage(self, name: str) -> Stage:
        """Return a step by its name.

        Raises:
            ArtifactError: the experiment has no such step.
        """
        if name not in self.stages:
            hint = did_you_mean(name, self.stages)
            raise ArtifactError(f"{self.name} has no stage '{name}'; it has {', '.join(self.stages)}.{hint}")
        return self.stages[name]

    def variants(self, group: str) -> dict[str, Stage]:
        """Return the steps of one group by the second part of their names, such as all baselines."""
        return {step.name.partition(".")[2]: step for step in self.stages.values() if step.group == group}


def record(store: Store, name: str, settings: Settings, steps: list[Stage]) -> RunRecord:
    """Write down that an experiment is finished, and return the record."""
    finished = datetime.now(UTC).isoformat(timespec="microseconds")
    keys = {step.name: [step.kind, step.key] for step in steps}
    content = {"name": name, "finished": finished, "settings": settings.model_dump(mode="json"), "steps": keys}
    write_json(store.root / RUNS / name / f"{finished.replace(':', '')}.json", content)
    return RunRecord(name, finished, content["settings"], {step.name: step for step in steps})  # type: ignore[arg-type]


def runs(store: Store, name: str) -> Iterator[RunRecord]:
    """Yield the finished runs of an experiment, the newest first."""
    for path in sorted((store.root / RUNS / name).glob("*.json"), reverse=True):
        content = json.loads(path.read_text("utf-8"))
        yield RunRecord(name, content["finished"], content["settings"], _steps(store, content["steps"]))


def newest_run(store: Store, name: str) -> RunRecord | None:
    """Return the newest finished run of an experiment, or None."""
    return next(runs(store, name), None)


def find_run(store: Store, name: str, seed: int | None = None) -> RunRecord:
    """Return the newest finished run of an experiment, or the newest of those with the given seed.

    Raises:
        ArtifactError: there is none.
    """
    if not any(runs(store, name)):
        known = run_names(store)
        has = f"it has {', '.join(known)}" if known else "it has none yet: lexirec run EXPERIMENT.toml makes one"
        raise ArtifactError(
            f"the store {store.root} has no finished experiment '{name}'; {has}.{did_you_mean(name, known)}"
        )
    found = next((run for run in runs(store, name) if seed in (None, run.settings.get("seed"))), None)
    if found is None:
        raise ArtifactError(
            f"{name} has not finished with seed {seed}; it has with {', '.join(map(str, run_seeds(store, name)))}. "
            f"lexirec run EXPERIMENT.toml --set seed={seed} makes it"
        )
    return found


def run_seeds(store: Store, name: str) -> list[int]:
    """Return the seeds with which an experiment has finished, the smallest first."""
    return sorted({run.settings["seed"] for run in runs(store, name) if "seed" in run.settings})


def run_names(store: Store) -> list[str]:
    """Return the names of all experiments that have finished in a store."""
    return sorted(path.name for path in (store.root / RUNS).glob("*") if any(path.glob("*.json")))


def _steps(store: Store, keys: Mapping[str, Sequence[str]]) -> dict[str, Stage]:
    return {name: Stage(name, stage, key, store.path(stage, key), "done") for name, (stage, key) in keys.items()}


def seconds(step: Stage) -> float:
    """Return how long a finished step took when it was made."""
    return read_manifest(step.folder).seconds


# ---------------------------------------------------------------------------------------- recommenders and evaluations


def recommenders(run: RunRecord) -> dict[str, Stage]:
    """Return an experiment's recommenders by name: experts, baselines, its own (`model`, `reinforced`), those fused."""
    experts = {name: step for name, step in run.variants(EXPERTS).items() if "." not in name}
    own = {name: run.stages[name] for name in OWN if name in run.stages}
    fused = {name or FUSED: step for name, step in run.variants(FUSED).items()}
    return experts | run.variants("baselines") | own | fused


def evaluations(run: RunRecord) -> dict[str, Path]:
    """Return the folders of an experiment's evaluations by the recommender's name."""
    return {name: step.folder for name, step in run.variants("evaluation").items()}

"""Records of finished runs: which experiment, with which settings, made which stages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.manifest import read_manifest
from lexirec.core.store import Store, write_json
from lexirec.pipeline.runner import Stage

RUNS = "runs"
"""Folder of the store in which finished runs are recorded, `runs/<name>/<time>.json`."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run of an experiment.

    Attributes:
        name: The experiment's name.
        finished: When it ended, UTC, ISO 8601.
        settings: All settings of the experiment.
        steps: Its steps by name.
    """

    name: str
    finished: str
    settings: dict[str, Any]
    steps: dict[str, Stage]

    def step(self, name: str) -> Stage:
        """Return a step by its name.

        Raises:
            ArtifactError: the experiment has no such step.
        """
        if name not in self.steps:
            hint = did_you_mean(name, self.steps)
            raise ArtifactError(f"{self.name} has no stage '{name}'; it has {', '.join(self.steps)}.{hint}")
        return self.steps[name]

    def variants(self, group: str) -> dict[str, Stage]:
        """Return the steps of one group by the second part of their names, such as all baselines."""
        return {step.name.partition(".")[2]: step for step in self.steps.values() if step.group == group}


def record(store: Store, name: str, settings: Settings, steps: list[Stage]) -> RunRecord:
    """Write down that an experiment is finished, and return the record."""
    finished = datetime.now(UTC).isoformat(timespec="microseconds")
    keys = {step.name: [step.stage, step.key] for step in steps}
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

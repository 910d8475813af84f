"""Records of runs: an experiment's settings and the artifacts of its stages, stored as JSON.

Finished runs are below `runs/`, one file each. What an unfinished run has done so far is below `unfinished/`, one file
per experiment, until the experiment is finished. A record that cannot be read is skipped with a line in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.manifest import read_manifest
from lexirec.core.store import Store, write_json

_log = logging.getLogger(__name__)
_mentioned: set[Path] = set()
"""Damaged records that the log has named."""

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

UNFINISHED = "unfinished"
"""Folder of the store that holds what unfinished runs have done, `unfinished/<name>.json`."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run of an experiment, or the finished stages of an unfinished one.

    Attributes:
        name: Name of the experiment.
        finished: Time of completion, of the run or of the last stage; UTC, ISO 8601.
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
    store: Store, name: str, settings: Settings, stages: Sequence[Stage], left_out: Mapping[str, str] | None = None
) -> RunRecord:
    """Record an experiment's run as finished, with what was left out of it, and return the record."""
    made = _record(name, settings, stages, left_out)
    _write(store.root / RUNS / name / f"{made.finished.replace(':', '')}.json", made)
    (store.root / UNFINISHED / f"{name}.json").unlink(missing_ok=True)
    return made


def record_unfinished(store: Store, name: str, settings: Settings, stages: Sequence[Stage]) -> RunRecord:
    """Record the stages that a run has finished so far, in place of those of an earlier unfinished run."""
    made = _record(name, settings, stages)
    _write(store.root / UNFINISHED / f"{name}.json", made)
    return made


def _record(
    name: str, settings: Settings, stages: Sequence[Stage], left_out: Mapping[str, str] | None = None
) -> RunRecord:
    finished, named = datetime.now(UTC).isoformat(timespec="microseconds"), {stage.name: stage for stage in stages}
    return RunRecord(name, finished, settings.model_dump(mode="json"), named, dict(left_out or {}))


def _write(path: Path, run: RunRecord) -> None:
    keys = {stage.name: [stage.kind, stage.key] for stage in run.stages.values()}
    content = {"name": run.name, "finished": run.finished, "settings": run.settings, "steps": keys}
    write_json(path, content | ({"left_out": run.left_out} if run.left_out else {}))


def runs(store: Store, name: str) -> Iterator[RunRecord]:
    """Yield the finished runs of an experiment, the newest first."""
    for path in sorted((store.root / RUNS / name).glob("[!.]*.json"), reverse=True):
        run = _read(store, name, path)
        if run is not None:
            yield run


def unfinished_run(store: Store, name: str) -> RunRecord | None:
    """Return what an unfinished run of an experiment has done, or None; it began after the newest finished one."""
    path = store.root / UNFINISHED / f"{name}.json"
    return _read(store, name, path) if path.exists() else None


def _read(store: Store, name: str, path: Path) -> RunRecord | None:
    """Return the record in a file, or None where it is damaged; the log names each damaged one once."""
    try:
        content = json.loads(path.read_bytes())
        finished, settings, stages = content["finished"], content["settings"], content["steps"]
        measured = any(stage.startswith("evaluation.") for stage in stages)
        if not (isinstance(finished, str) and _usable(settings, measured)):
            raise ValueError("its settings or its time are not those of a run")
        left_out = {str(part): str(why) for part, why in content.get("left_out", {}).items()}
        return RunRecord(name, finished, settings, _stages(store, stages), left_out)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if path not in _mentioned:
            _mentioned.add(path)
            reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            _log.warning("%s is no record of a run and is skipped (%s); remove it", path, reason)
        return None


def _usable(settings: Any, measured: bool) -> bool:
    """Say whether settings have what commands read from them: a seed, and of a run that measured how and what."""
    if not isinstance(settings, dict) or not isinstance(settings.get("seed", 0), int):
        return False
    if not measured:
        return True
    evaluation, baselines = settings.get("evaluation"), settings.get("baselines")
    if not isinstance(evaluation, dict) or not isinstance(baselines, dict):
        return False
    return _texts(evaluation.get("seen")) and all(
        isinstance(each, dict) and "kind" in each for each in baselines.values()
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def newest_run(store: Store, name: str) -> RunRecord | None:
    """Return the newest finished run of an experiment, or None."""
    return next(runs(store, name), None)


def find_run(store: Store, name: str, seed: int | None = None) -> RunRecord:
    """Return the newest finished run of an experiment, or the newest of those with the given seed.

    Raises:
        ArtifactError: there is none.
    """
    if not any(runs(store, name)):
        raise _no_run(store, name)
    newest = next((run for run in runs(store, name) if seed in (None, run.settings.get("seed"))), None)
    if newest is None:
        raise ArtifactError(
            f"{name} has no finished run with seed {seed}; finished seeds: "
            f"{', '.join(map(str, run_seeds(store, name)))}. lexirec run EXPERIMENT.toml --set seed={seed} makes it"
        )
    return newest


def _no_run(store: Store, name: str) -> ArtifactError:
    begun = unfinished_run(store, name)
    if begun is not None:
        return ArtifactError(
            f"{name} has not finished: it is done up to '{list(begun.stages)[-1]}'; "
            "lexirec run EXPERIMENT.toml finishes it"
        )
    names = run_names(store)
    has = f"it has {', '.join(names)}" if names else "it has none yet: lexirec run EXPERIMENT.toml makes one"
    has += "" if store.root.is_dir() else " (and the folder does not exist: is --store right?)"
    return ArtifactError(
        f"the store {store.root} has no finished experiment '{name}'; {has}.{did_you_mean(name, names)}"
    )


def check_there(store: Store) -> None:
    """Check that a store exists.

    Raises:
        ArtifactError: it does not.
    """
    if not store.root.is_dir():
        raise ArtifactError(f"the store {store.root} does not exist; give --store, or LEXIREC_STORE")


def run_seeds(store: Store, name: str) -> list[int]:
    """Return the seeds with which an experiment has finished, the smallest first."""
    return sorted({run.settings["seed"] for run in runs(store, name) if "seed" in run.settings})


def run_names(store: Store) -> list[str]:
    """Return the names of all experiments with a finished run in a store."""
    return sorted(path.name for path in (store.root / RUNS).glob("[!.]*") if any(runs(store, path.name)))


def unfinished_names(store: Store) -> list[str]:
    """Return the names of all experiments with an unfinished run in a store."""
    names = sorted(path.stem for path in (store.root / UNFINISHED).glob("[!.]*.json"))
    return [name for name in names if unfinished_run(store, name) is not None]


def _stages(store: Store, keys: Mapping[str, Sequence[str]]) -> dict[str, Stage]:
    if not keys or any("/" in part or part in ("", ".", "..") for each in keys.values() for part in each):
        raise ValueError("its steps are not those of a run")
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

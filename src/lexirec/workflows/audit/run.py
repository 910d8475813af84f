"""Run an audit of an experiment file or a finished run: reuse stored stages, run cheap ones, skip the others.

The audit trains nothing unless it is asked to make parts again (`refit`): stages that train, or call a model or an
endpoint, are audited where the store holds them, and reported as skipped otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.config import Settings, validate_settings
from lexirec.core.errors import ArtifactError, LexirecError, SettingsError
from lexirec.core.manifest import Recipe
from lexirec.core.runs import EXPERTS, RunRecord, Stage, find_run, recommenders, run_seeds
from lexirec.core.store import Store
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import load_array
from lexirec.evaluation.evaluator import Report
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import Make, StageRunner, logged
from lexirec.pipeline.stages.data import load_catalog, load_split, read_tables
from lexirec.pipeline.stages.identifiers import SEMANTIC_IDS, load_saved_tokenizer
from lexirec.pipeline.stages.models import words_of
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.audit.checks import examine
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Audit, ordered
from lexirec.workflows.audit.refit import ASKS, CHECK, refit
from lexirec.workflows.audit.time_order import read_times

_log = logging.getLogger(__name__)
_CHEAP: Mapping[str, frozenset[str] | None] = {
    "data": None,
    "times": None,
    "tokenizer": None,
    "vectors": frozenset({"lsa", "collaborative", "precomputed"}),
    "codes": frozenset({"hierarchical-kmeans", "residual-kmeans", "categories", "published"}),
    "lexicon": frozenset({"tf-idf", "published"}),
    "identifiers": None,
    "neighbors": frozenset({"co-occurrence", "memory", "vectors", "published"}),
}
"""Stages that an audit runs if the store lacks them -> their kinds; None for all kinds."""


def audit(
    store: Store, what: str | Path, overrides: Sequence[str] = (), *, refit_minutes: float | None = None
) -> Audit:
    """Audit an experiment file, or a finished run by its name.

    Args:
        store: Store of the stages; cheap missing ones are added.
        what: An experiment file (`.toml`), or the name of an experiment that has finished.
        overrides: `a.b=c`, for files only.
        refit_minutes: make learned parts again that took at most this long, without held-out events, and compare; None
            trains nothing.

    Raises:
        LexirecError: the file or run does not exist, or the tables cannot be read.
    """
    if Path(what).suffix == ".toml" or Path(what).is_file():
        experiment = load_experiment(what, overrides)
        folders, missing = _walked(experiment, store)
    elif overrides:
        raise SettingsError(f"audit {what}: --set applies to experiment files only; give the file")
    else:
        run = find_run(store, str(what))
        experiment = validate_settings(run.settings, Experiment, f"run {run.name}")
        there = {name: store.complete(stage.kind, stage.key) for name, stage in run.stages.items()}
        folders = {name: stage.folder for name, stage in run.stages.items() if there[name]}
        missing = {name: "its artifact is missing from the store" for name in run.stages if not there[name]}
    evidence = gather(experiment, store, folders, missing)
    result = replace(examine(evidence), stages={name: str(folder) for name, folder in folders.items()})
    if refit_minutes is None:
        return result
    findings, without = refit(evidence, store, folders, refit_minutes)
    return replace(
        result,
        findings=ordered([*result.findings, *(replace(each, check=CHECK) for each in findings)]),
        asked={**result.asked, CHECK: ASKS},
        not_looked_at={**result.not_looked_at, **without},
    )


# ------------------------------------------------------------------------------------------------------------- stages


@dataclass
class _CheapStageRunner(StageRunner):
    """A runner that reuses stored stages, executes cheap ones, and notes the reason for skipping the others."""

    missing: dict[str, str] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)

    def stage(
        self,
        name: str,
        make: Make,
        settings: Settings | Mapping[str, Any],
        inputs: Mapping[str, Stage | None],
        raw: Mapping[str, Path] | None = None,
        *,
        kind: str | None = None,
    ) -> Stage:
        """Add a stage, and execute it if it is cheap (the base class only plans)."""
        stage = super().stage(name, make, settings, inputs, raw, kind=kind)
        recipe = self.recipes[stage.key]
        if stage.state == "done" or self.store.complete(stage.kind, stage.key):
            return stage
        why = self._not_made(recipe)
        if why is None:
            try:
                with logged(stage):
                    self.store.ensure(recipe, self.calls[recipe.key], raw)
                return stage
            except (LexirecError, OSError) as error:
                if stage.kind == "data":
                    raise
                why = f"it failed: {error}"
        self.absent.add(recipe.key)
        self.missing[stage.name] = why
        return stage

    def _not_made(self, recipe: Recipe) -> str | None:
        if self.absent & set(recipe.inputs.values()):
            return "its inputs are not in the store"
        if recipe.stage not in _CHEAP:
            return "it has not run yet, and an audit trains nothing"
        kinds = _CHEAP[recipe.stage]
        teacher = recipe.settings.get("teacher", "none")
        if (kinds is None or recipe.settings.get("kind") in kinds) or (recipe.stage == "lexicon" and teacher == "none"):
            return None
        return f"it has not run yet, and is too expensive for an audit (kind {recipe.settings.get('kind')})"


def _walked(experiment: Experiment, store: Store) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the folders of the experiment's stages, and the reasons for missing ones."""
    runner = _CheapStageRunner(store, VERSIONS, act=False)
    walk(experiment, runner)
    return {
        stage.name: stage.folder for stage in runner.stages if store.complete(stage.kind, stage.key)
    }, runner.missing


def gather(experiment: Experiment, store: Store, folders: Mapping[str, Path], missing: Mapping[str, str]) -> Evidence:
    """Read the artifacts of the stages, and the tables again.

    Args:
        experiment: The settings.
        store: Store of the experiment's other seeds.
        folders: Stage -> folder of its artifact.
        missing: Stage -> reason for its absence.

    Raises:
        ArtifactError: the data stage is missing, or an artifact cannot be read.
    """
    if "data" not in folders:
        raise ArtifactError(f"{experiment.name}: stage data is not in the store {store.root}; run the experiment again")
    catalog, split = load_catalog(folders["data"]), load_split(folders["data"])
    notes = dict(missing)
    for name, expert in experiment.experts.items():
        notes.setdefault(f"{EXPERTS}.{name}", f"audit its experiment separately: lexirec audit {expert.experiment}")
    tables = _tables(experiment, split.protocol, notes)
    return Evidence(
        experiment=experiment,
        catalog=catalog,
        split=split,
        interactions=tables[0],
        times=tables[1],
        vectors={
            name.partition(".")[2]: load_array(folder / "vectors.npy")
            for name, folder in folders.items()
            if name.startswith("vectors.")
        },
        codes=Codes.load(folders["codes"]) if "codes" in folders else None,
        semantic_ids=_semantic_ids(folders),
        identifiers=Identifiers.load(folders["identifiers"]) if "identifiers" in folders else None,
        tokenizer=load_saved_tokenizer(folders.get("tokenizer")),
        words=words_of(folders) if "codes" in folders and experiment.wants_words else (),
        neighbors=Neighbors.load(folders["neighbors"]) if "neighbors" in folders else None,
        scorers=_scorers(folders),
        recommenders=_recommenders(folders),
        networks=_networks(folders),
        reports=_reports(folders),
        seeds=run_seeds(store, experiment.name),
        checkpoints=_checkpoints(experiment, folders),
        missing=notes,
    )


def _tables(
    experiment: Experiment, protocol: Mapping[str, Any], notes: dict[str, str]
) -> tuple[Any, NDArray[np.float64] | None]:
    """Read interactions and times again from the tables; None where that fails, with the reason in `notes`."""
    try:
        tables, catalog, interactions = read_tables(experiment.data)
    except (LexirecError, OSError) as error:
        notes["interactions"] = notes["times"] = f"the tables cannot be read again ({error})"
        return None, None
    if interactions.digest != protocol.get("data"):
        why = "the tables have changed since stage data ran; only the stage is audited"
        notes["interactions"] = notes["times"] = why
        return None, None
    if interactions.times is not None:
        return interactions, interactions.times
    times = read_times(tables, catalog, interactions)
    if times is None:
        notes["times"] = "the tables have no times (or none since 1990)"
    return interactions, times


def _semantic_ids(folders: Mapping[str, Path]) -> NDArray[np.int32] | None:
    file = folders["codes"] / SEMANTIC_IDS if "codes" in folders else None
    return load_array(file) if file is not None and file.is_file() else None


def _scorers(folders: Mapping[str, Path]) -> dict[str, ScoreRecommender]:
    names = {name: folder for name, folder in folders.items() if name.startswith("baselines.")}
    scorers = {}
    for name, folder in names.items():
        try:
            scorers[name.partition(".")[2]] = ScoreRecommender.load(folder)
        except (ArtifactError, KeyError) as error:  # not a score-based recommender
            _log.info("%s is skipped: %s", name, error)
    return scorers


def _recommenders(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of all recommenders by name, and of the networks that neighbours and codes are made of."""
    stages = {name: Stage(name, name.partition(".")[0], "", folder, "done") for name, folder in folders.items()}
    of_the_run = {name: stage.folder for name, stage in recommenders(RunRecord("", "", {}, stages)).items()}
    return of_the_run | {
        name: folder for name, folder in _networks(folders).items() if folder not in of_the_run.values()
    }


def _networks(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of the networks that neighbours and codes are made of."""
    return {name: folders[name] for name in ("neighbors.sasrec", "codes.sasrec") if name in folders}


def _reports(folders: Mapping[str, Path]) -> dict[str, dict[str, Report]]:
    reports: dict[str, dict[str, Report]] = {}
    for name, folder in folders.items():
        if name.startswith("evaluation."):
            ways = [seen for seen in ("excluded", "included") if (folder / seen / "metrics.json").is_file()]
            reports[name.partition(".")[2]] = {seen: Report.load(folder / seen) for seen in ways}
    return reports


def _checkpoints(experiment: Experiment, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the local folders of language models: the original backbone and the trained ones."""
    checkpoints = {}
    if experiment.backbone is not None and Path(experiment.backbone.name).is_dir():
        checkpoints["backbone"] = Path(experiment.backbone.name)
    for name in ("backbone", "model", "reinforced"):
        if name in folders:
            inner = folders[name] / "backbone"
            checkpoints[f"stage {name}"] = inner if inner.is_dir() else folders[name]
    return checkpoints

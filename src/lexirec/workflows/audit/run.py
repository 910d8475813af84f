"""From an experiment file or a finished run to its audit: what is in the store is used, what is cheap is made.

Nothing is trained: stages that train, or call a model or an endpoint, are looked at where the store holds them, and
else the audit says that it did not.
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
from lexirec.core.runs import EXPERTS, Stage, find_run, run_seeds
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
from lexirec.workflows.audit.findings import Audit
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
"""Stages that an audit makes where they are not there, and of which kinds; None for all."""


def audit(store: Store, what: str | Path, overrides: Sequence[str] = ()) -> Audit:
    """Audit an experiment file, or a finished run by its name.

    Args:
        store: Where stages are looked for, and where cheap ones that are not there are made.
        what: An experiment file (`.toml`), or the name of an experiment that has finished.
        overrides: Settings of the day, `a.b=c`; for files only.

    Raises:
        LexirecError: there is neither, or the tables cannot be read.
    """
    if Path(what).suffix == ".toml" or Path(what).is_file():
        experiment = load_experiment(what, overrides)
        steps, missing = _walked(experiment, store)
    elif overrides:
        raise SettingsError(f"audit {what}: --set is for experiment files; a finished run is audited as it is")
    else:
        run = find_run(store, str(what))
        experiment = validate_settings(run.settings, Experiment, f"run {run.name}")
        there = {name: store.complete(step.kind, step.key) for name, step in run.stages.items()}
        steps = {name: step.folder for name, step in run.stages.items() if there[name]}
        missing = {name: "its folder is gone from the store" for name in run.stages if not there[name]}
    evidence = gather(experiment, store, steps, missing)
    found = examine(evidence)
    return replace(found, stages={name: str(folder) for name, folder in steps.items()})


# ------------------------------------------------------------------------------------------------------------- stages


@dataclass
class _CheapStageRunner(StageRunner):
    """A line that makes what is cheap, takes what is done, and notes the rest."""

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
        """Add a step, made if it is cheap; the line does not act by itself."""
        step = super().stage(name, make, settings, inputs, raw, kind=kind)
        recipe = self.recipes[step.key]
        if step.state == "done" or self.store.complete(step.kind, step.key):
            return step
        why = self._not_made(recipe)
        if why is None:
            folders = {key: earlier.folder for key, earlier in inputs.items() if earlier is not None}
            try:
                with logged(step):
                    self.store.ensure(recipe, lambda out: make(settings, {**folders, **(raw or {})}, out))
                return step
            except (LexirecError, OSError) as error:
                if step.kind == "data":
                    raise
                why = f"it could not be made: {error}"
        self.absent.add(recipe.key)
        self.missing[step.name] = why
        return step

    def _not_made(self, recipe: Recipe) -> str | None:
        if self.absent & set(recipe.inputs.values()):
            return "what it is made from is not in the store"
        if recipe.stage not in _CHEAP:
            return "it has not been made yet, and an audit trains nothing"
        kinds = _CHEAP[recipe.stage]
        teacher = recipe.settings.get("teacher", "none")
        if (kinds is None or recipe.settings.get("kind") in kinds) or (recipe.stage == "lexicon" and teacher == "none"):
            return None
        return f"it has not been made yet, and is too dear for an audit (kind {recipe.settings.get('kind')})"


def _walked(experiment: Experiment, store: Store) -> tuple[dict[str, Path], dict[str, str]]:
    """Walk the experiment's stages; return the folders of those there are, and why others are not."""
    runner = _CheapStageRunner(store, VERSIONS, act=False)
    walk(experiment, runner)
    return {step.name: step.folder for step in runner.stages if store.complete(step.kind, step.key)}, runner.missing


def gather(experiment: Experiment, store: Store, steps: Mapping[str, Path], missing: Mapping[str, str]) -> Evidence:
    """Read what the stages hold, and the tables anew.

    Args:
        experiment: The settings.
        store: Where other seeds are looked for.
        steps: Folder of each stage that is there.
        missing: Stage -> why it is not.

    Raises:
        ArtifactError: not even the data are there, or a stage cannot be read.
    """
    if "data" not in steps:
        raise ArtifactError(f"{experiment.name}: the stage data is not in the store {store.root}; run it again")
    catalog, split = load_catalog(steps["data"]), load_split(steps["data"])
    notes = dict(missing)
    for name, expert in experiment.experts.items():
        notes.setdefault(f"{EXPERTS}.{name}", f"what it reads is audited by itself: lexirec audit {expert.experiment}")
    tables = _tables(experiment, split.protocol, notes)
    return Evidence(
        experiment=experiment,
        catalog=catalog,
        split=split,
        interactions=tables[0],
        times=tables[1],
        vectors={
            name.partition(".")[2]: load_array(folder / "vectors.npy")
            for name, folder in steps.items()
            if name.startswith("vectors.")
        },
        codes=Codes.load(steps["codes"]) if "codes" in steps else None,
        semantic_ids=_semantic_ids(steps),
        identifiers=Identifiers.load(steps["identifiers"]) if "identifiers" in steps else None,
        tokenizer=load_saved_tokenizer(steps.get("tokenizer")),
        words=words_of(steps) if "codes" in steps and experiment.wants_words else (),
        neighbors=Neighbors.load(steps["neighbors"]) if "neighbors" in steps else None,
        scorers=_scorers(steps),
        reports=_reports(steps),
        seeds=run_seeds(store, experiment.name),
        checkpoints=_checkpoints(experiment, steps),
        missing=notes,
    )


def _tables(
    experiment: Experiment, protocol: Mapping[str, Any], notes: dict[str, str]
) -> tuple[Any, NDArray[np.float64] | None]:
    """Read the interactions anew, and when they happened; None where that cannot be, with the reason in `notes`."""
    try:
        tables, catalog, interactions = read_tables(experiment.data)
    except (LexirecError, OSError) as error:
        notes["interactions"] = notes["times"] = f"the tables cannot be read again ({error})"
        return None, None
    if interactions.digest != protocol.get("data"):
        why = "the tables have changed since the stage data was made from them; the stage alone is looked at"
        notes["interactions"] = notes["times"] = why
        return None, None
    if interactions.times is not None:
        return interactions, interactions.times
    times = read_times(tables, catalog, interactions)
    if times is None:
        notes["times"] = "the tables have no times (or none since 1990)"
    return interactions, times


def _semantic_ids(steps: Mapping[str, Path]) -> NDArray[np.int32] | None:
    file = steps["codes"] / SEMANTIC_IDS if "codes" in steps else None
    return load_array(file) if file is not None and file.is_file() else None


def _scorers(steps: Mapping[str, Path]) -> dict[str, ScoreRecommender]:
    names = {name: folder for name, folder in steps.items() if name.startswith("baselines.")}
    found = {}
    for name, folder in names.items():
        try:
            found[name.partition(".")[2]] = ScoreRecommender.load(folder)
        except (ArtifactError, KeyError) as error:  # a recommender of another kind
            _log.info("%s is not looked at: %s", name, error)
    return found


def _reports(steps: Mapping[str, Path]) -> dict[str, dict[str, Report]]:
    found: dict[str, dict[str, Report]] = {}
    for name, folder in steps.items():
        if name.startswith("evaluation."):
            ways = [seen for seen in ("excluded", "included") if (folder / seen / "metrics.json").is_file()]
            found[name.partition(".")[2]] = {seen: Report.load(folder / seen) for seen in ways}
    return found


def _checkpoints(experiment: Experiment, steps: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of language models on this disk: the backbone as it came, and the trained ones."""
    found = {}
    if experiment.backbone is not None and Path(experiment.backbone.name).is_dir():
        found["backbone"] = Path(experiment.backbone.name)
    for name in ("backbone", "model", "reinforced"):
        if name in steps:
            inner = steps[name] / "backbone"
            found[f"stage {name}"] = inner if inner.is_dir() else steps[name]
    return found

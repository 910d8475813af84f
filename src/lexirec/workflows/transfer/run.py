"""Transfer: what a causal recommender learned on one catalogue, measured on another (the cross-domain claim of TS-Rec).

    source: data -> vectors -> codes -> lexicon -> identifiers -> model -> reinforced
                        |         |                                 |
    target: data -> vectors -> codes -> identifiers -----------> zero-shot -> fine-tuned     untrained, alone, floors

The second catalogue's semantic IDs come from the first one's quantiser, so that tokens mean the same in both. Every
step is one of the store, and what either experiment has made already is taken from there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexirec.core.runs import RunRecord, Stage, newest_run, record
from lexirec.core.store import Store
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.pipeline import graph
from lexirec.pipeline.components import VectorNeighbors
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.pipeline.stages import baselines, evaluation
from lexirec.pipeline.stages import identifiers as preparing
from lexirec.pipeline.stages.models import ModelStage
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors
from lexirec.workflows.transfer import stages
from lexirec.workflows.transfer.settings import (
    Quantiser,
    Transfer,
    check_transfer,
    neighbors_there,
    sees_training,
    what_each_saw,
)
from lexirec.workflows.transfer.stages import Carried

VERSIONS = {**graph.VERSIONS, "untrained": 1, "carried": 1, "fine-tuned": 1}
"""Versions of the stages; those of experiments are shared with them."""
_CALLED = {"alone.model": "alone"}
_log = logging.getLogger(__name__)


def transfer(chosen: Transfer, store: Store) -> RunRecord:
    """Train on the source, carry what was learned to the target, and measure it there beside what knows the target.

    Killed at any moment and called again, it carries on where it was.

    Returns:
        The record of the finished run: recommenders `zero-shot`, `untrained`, and with `fine_tune` `fine-tuned` and
        `alone`, beside the target's baselines; the source's steps are called `source.…`.

    Raises:
        SettingsError: the source has no causal model, no quantiser of its own, or vectors the target cannot have.
        LexirecError: something in the settings, files or store has to be put right by the user.
    """
    runners = _Runners(chosen, store, act=True)
    _walk(chosen, runners)
    return record(store, chosen.name, chosen, runners.stages)


def plan_transfer(chosen: Transfer, store: Store) -> list[Stage]:
    """Return the steps that `transfer` would take, with the state of each, without making anything."""
    runners = _Runners(chosen, store, act=False)
    _walk(chosen, runners)
    return runners.stages


class _Runners:
    """Lines of steps of one run, those of each part of it under names of their own."""

    def __init__(self, chosen: Transfer, store: Store, *, act: bool) -> None:
        before = newest_run(store, chosen.name)
        self._keys = {name: step.key for name, step in before.stages.items()} if before else {}
        self._store, self._act = store, act
        self._runners: list[tuple[str, StageRunner]] = []

    def runner(self, prefix: str = "", until: str | None = None) -> StageRunner:
        """Open a line whose steps are called `prefix` + name in the record."""
        known = {name.removeprefix(prefix): key for name, key in self._keys.items() if name.startswith(prefix)}
        runner = StageRunner(self._store, VERSIONS, until, self._act, known)
        self._runners.append((prefix, runner))
        return runner

    @property
    def stages(self) -> list[Stage]:
        """All steps by the names they have in the record."""
        named = {prefix + step.name: step for prefix, runner in self._runners for step in runner.stages}
        return [replace(step, name=_CALLED.get(name, name)) for name, step in named.items()]


@dataclass(frozen=True)
class _Named:
    """The target's items as the source names them: steps by the names that stages know them by."""

    data: Stage
    vectors: dict[str, Stage]
    codes: Stage
    identifiers: Stage

    def inputs(self, model: TSRecSettings) -> dict[str, Stage | None]:
        """Return what such a model reads of them."""
        spelled = {"data": self.data, "codes": self.codes, "identifiers": self.identifiers}
        return {**spelled, **(self.vectors if model.network.grounded else {})}


def _walk(chosen: Transfer, runners: _Runners) -> None:
    """Take every step, from the raw files to the report."""
    model = check_transfer(chosen)
    floors = _floors(chosen, runners)
    source = _source(chosen.source, runners)
    named = _name_target(chosen, runners, source, floors["data"])
    there = _learned_there(chosen, runners, named)
    near = there.get("neighbors") if chosen.settings.neighbors == "training" else _near_in_text(chosen, runners, named)
    inputs: dict[str, Stage | None] = {**named.inputs(model), "neighbors": near}
    carried = {
        "untrained": _untrained(chosen.source, runners, source),
        "zero-shot": source.get("reinforced", source["model"]),
    }
    runner, saw = runners.runner(), what_each_saw(chosen)
    recommenders = {}
    for name, trained in carried.items():
        settings = Carried(saw=saw[name], category=chosen.settings.category)
        given = {**inputs, "model": trained}
        recommenders[name] = runner.stage(name, stages.carry_model, settings, given, kind="carried")
    if chosen.settings.fine_tune:
        recommenders["alone"] = _alone(chosen, runners, source, named, there)
        settings = Carried(
            saw=saw["fine-tuned"],
            category=chosen.settings.category,
            training=chosen.settings.training or model.training,
        )
        given = {**named.inputs(model), **there, "model": carried["zero-shot"]}
        recommenders["fine-tuned"] = runner.stage("fine-tuned", stages.carry_model, settings, given)
    _measure(chosen, runners.runner(), floors, named, recommenders)


# -------------------------------------------------------------------------------------------------------- the steps


def _floors(chosen: Transfer, runners: _Runners) -> dict[str, Stage]:
    """Fit and measure the target's baselines as an experiment of their own; with `data`, which all else reads."""
    baselines = chosen.baselines
    near = any("neighbors" in each.needed() for each in baselines.values())
    wants = near or any("vectors" in each.needed() for each in baselines.values())
    nothing: dict[str, Any] = dict.fromkeys(
        ("codes", "identifiers", "backbone", "pretraining", "model", "reinforcement")
    )
    if not near:
        nothing["neighbors"] = None
    kept = {"baselines": baselines, "vectors": chosen.target.vectors if wants else {}}
    _log.info("target %s: data and baselines", chosen.target.name)
    return _walked(chosen.target.model_copy(update={**nothing, **kept}), runners.runner(until="evaluation"))


def _source(source: Experiment, runners: _Runners) -> dict[str, Stage]:
    """Train the source's model, and polish it if the experiment does; its baselines and evaluations are left out."""
    scorer = source.reinforcement.scorer if source.reinforcement is not None else None
    baselines = {name: each for name, each in source.baselines.items() if name == scorer}
    last = "reinforced" if source.reinforcement is not None else "model"
    _log.info("source %s: up to its %s", source.name, last)
    return _walked(source.model_copy(update={"baselines": baselines}), runners.runner("source.", until=last))


def _walked(experiment: Experiment, runner: StageRunner) -> dict[str, Stage]:
    with contextlib.suppress(StopRequested):
        graph.walk(experiment, runner)
    return {step.name: step for step in runner.stages}


def _name_target(chosen: Transfer, runners: _Runners, source: Mapping[str, Stage], data: Stage) -> _Named:
    """Put the target's items into the source's space, and spell them by its quantiser."""
    codes, naming = chosen.source.codes, chosen.source.naming
    assert isinstance(codes, Quantiser)
    assert naming is not None
    runner, vectors = runners.runner("carried."), {}
    _log.info("target %s: named by the source's quantiser", chosen.target.name)
    for name, settings in chosen.source.vectors.items():
        step = f"vectors.{name}"
        if isinstance(settings, PrecomputedVectors):
            theirs = chosen.target.vectors[name]
            assert isinstance(theirs, PrecomputedVectors)
            vectors[step] = runner.stage(step, preparing.prepare_vectors, theirs, {"data": data}, {"file": theirs.path})
            continue
        folder = isinstance(settings, SentenceVectors) and Path(settings.model).is_dir()
        raw = {"model": Path(settings.model)} if isinstance(settings, SentenceVectors) and folder else {}
        given = {"data": data, "first": source["data"]}
        vectors[step] = runner.stage(step, stages.embed_target, settings, given, raw)
    given = {"codebook": source["codes"], **vectors}
    found = runner.stage("codes", stages.apply_codebook, codes.collisions, given)
    spelled = runner.stage("identifiers", preparing.prepare_identifiers, naming, {"data": data, "codes": found})
    return _Named(data, vectors, found, spelled)


def _near_in_text(chosen: Transfer, runners: _Runners, named: _Named) -> Stage | None:
    """Find the neighbours of the target's items by vectors alone, as many as the source's have."""
    if chosen.source.neighbors is None or chosen.settings.neighbors == "none":
        return None
    settings, given = VectorNeighbors(k=chosen.source.neighbors.k), {"data": named.data, **named.vectors}
    return runners.runner("carried.").stage("neighbors", baselines.prepare_neighbors, settings, given)


def _learned_there(chosen: Transfer, runners: _Runners, named: _Named) -> dict[str, Stage | None]:
    """Return what models that learn on the target know besides: neighbours by its training part, words of its texts."""
    if not sees_training(chosen):
        return {}
    runner, source = runners.runner("target."), chosen.source
    given = chosen.target.model_copy(update={"neighbors": neighbors_there(chosen)})
    found = {"neighbors": graph.neighbors_step(given, runner, named.data, named.vectors)}
    if source.wants_words and chosen.settings.fine_tune:
        inputs = {"data": named.data, "codes": named.codes}
        found["lexicon"] = graph.lexicon_step(source, runner, inputs, named.vectors)
    return found


def _untrained(source: Experiment, runners: _Runners, steps: Mapping[str, Stage]) -> Stage:
    """Build the source's model as training finds it."""
    assert source.backbone is not None
    assert source.model is not None
    wanted = ("data", "tokenizer", "codes", "identifiers", "lexicon", "neighbors", "backbone")
    inputs = {name: step for name, step in steps.items() if name in wanted or name.startswith("vectors.")}
    raw = {} if "backbone" in steps else graph.backbone_files(source.backbone)
    stage = ModelStage(backbone=source.backbone, model=source.model)
    runner = runners.runner("source.")
    return runner.stage("untrained", stages.build_untrained, stage, inputs, raw)


def _alone(
    chosen: Transfer, runners: _Runners, source: Mapping[str, Stage], named: _Named, there: Mapping[str, Stage | None]
) -> Stage:
    """Train the source's model on the target from the start; its backbone, too, is pretrained on the target's text."""
    model = chosen.source.model
    assert isinstance(model, TSRecSettings)
    changes: dict[str, Any] = {}
    if chosen.settings.training is not None:
        changes["training"] = chosen.settings.training
    if chosen.settings.category is not None:
        changes["prompts"] = model.prompts.model_copy(update={"category": chosen.settings.category})
    experiment = chosen.source.model_copy(update={"model": model.model_copy(update=changes)})
    given: dict[str, Stage | None] = {
        "data": named.data,
        "tokenizer": source["tokenizer"],
        "codes": named.codes,
        "identifiers": named.identifiers,
        "lexicon": there.get("lexicon"),
    }
    runner = runners.runner("alone.")
    made = graph.model_step(experiment, runner, given, named.vectors, there.get("neighbors"))
    assert made is not None
    return made


def _measure(
    chosen: Transfer, runner: StageRunner, floors: Mapping[str, Stage], named: _Named, recommenders: Mapping[str, Stage]
) -> None:
    """Measure everything that is about the transfer, and report it beside the baselines."""
    evaluations = {name: step for name, step in floors.items() if step.group == "evaluation"}
    for name, recommender in recommenders.items():
        step, given = f"evaluation.{name}", {"data": named.data, "recommender": recommender}
        evaluations[step] = runner.stage(step, evaluation.measure, chosen.evaluation, given)
    saw = {name: each.model_dump() for name, each in what_each_saw(chosen).items()}
    saw["baselines"] = {"source": "nothing", "target": "training interactions, item texts where their kind reads them"}
    settings = {
        "name": chosen.name,
        "kinds": {name: each.kind for name, each in chosen.baselines.items()},
        "evaluation": chosen.evaluation.model_dump(mode="json"),
        "saw": saw,
    }
    shown = list(recommenders.values())[-1]
    inputs = {"data": named.data, "identifiers": named.identifiers, "recommender": shown, **evaluations}
    runner.stage("report", stages.make_transfer_report, settings, inputs)

"""Transfer a TS-Rec recommender to another catalogue and evaluate it there (the cross-domain claim of TS-Rec).

    source: data -> vectors -> codes -> lexicon -> identifiers -> model -> reinforced
                        |         |                                 |
    target: data -> vectors -> codes -> identifiers -----------> zero-shot -> fine-tuned     untrained, alone, baselines

The second catalogue's semantic IDs come from the first one's quantiser, so that tokens mean the same in both. All
stages are stages of the store: those that either experiment has run already are reused.
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
from lexirec.pipeline import graph, item_stages
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
"""Code versions of the stages; experiments share theirs."""
_RENAMED = {"alone.model": "alone"}
_log = logging.getLogger(__name__)


def transfer(chosen: Transfer, store: Store) -> RunRecord:
    """Train on the source, transfer the model to the target, and evaluate it there beside the target's own baselines.

    An interrupted run resumes when called again.

    Returns:
        The record of the finished run: recommenders `zero-shot`, `untrained`, and with `fine_tune` `fine-tuned` and
        `alone`, beside the target's baselines; the source's stages are named `source.…`.

    Raises:
        SettingsError: the source has no TS-Rec model, no quantiser of its own, or vectors the target cannot have.
        LexirecError: settings, files or store are invalid; the message says what to do.
    """
    runners = _Runners(chosen, store, act=True)
    _walk(chosen, runners)
    return record(store, chosen.name, chosen, runners.stages)


def plan_transfer(chosen: Transfer, store: Store) -> list[Stage]:
    """Return the stages of `transfer` with the state of each, without executing any."""
    runners = _Runners(chosen, store, act=False)
    _walk(chosen, runners)
    return runners.stages


class _Runners:
    """The stage runners of one transfer, one per part, with a name prefix each."""

    def __init__(self, chosen: Transfer, store: Store, *, act: bool) -> None:
        before = newest_run(store, chosen.name)
        self._keys = {name: stage.key for name, stage in before.stages.items()} if before else {}
        self._store, self._act = store, act
        self._runners: list[tuple[str, StageRunner]] = []

    def runner(self, prefix: str = "", until: str | None = None) -> StageRunner:
        """Open a runner whose stages are named `prefix` + name in the record."""
        known = {name.removeprefix(prefix): key for name, key in self._keys.items() if name.startswith(prefix)}
        runner = StageRunner(self._store, VERSIONS, until, self._act, known)
        self._runners.append((prefix, runner))
        return runner

    @property
    def stages(self) -> list[Stage]:
        """All stages, with their names in the record."""
        named = {prefix + stage.name: stage for prefix, runner in self._runners for stage in runner.stages}
        return [replace(stage, name=_RENAMED.get(name, name)) for name, stage in named.items()]


@dataclass(frozen=True)
class _Named:
    """The stages of the target's items, with identifiers by the source's quantiser."""

    data: Stage
    vectors: dict[str, Stage]
    codes: Stage
    identifiers: Stage

    def inputs(self, model: TSRecSettings) -> dict[str, Stage | None]:
        """Return the inputs of a model's stage."""
        spelled = {"data": self.data, "codes": self.codes, "identifiers": self.identifiers}
        return {**spelled, **(self.vectors if model.network.grounded else {})}


def _walk(chosen: Transfer, runners: _Runners) -> None:
    """Add every stage, from the raw files to the report."""
    model = check_transfer(chosen)
    target = _target_baselines(chosen, runners)
    source = _source(chosen.source, runners)
    named = _name_target(chosen, runners, source, target["data"])
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
    _measure(chosen, runners.runner(), target, named, recommenders)


# ----------------------------------------------------------------------------------------------------------- stages


def _target_baselines(chosen: Transfer, runners: _Runners) -> dict[str, Stage]:
    """Add the target's data, baselines and their evaluations, as an experiment of their own."""
    baselines = chosen.baselines
    near = any("neighbors" in each.needed() for each in baselines.values())
    wants = near or any("vectors" in each.needed() for each in baselines.values())
    removed: dict[str, Any] = dict.fromkeys(
        ("codes", "identifiers", "backbone", "pretraining", "model", "reinforcement")
    )
    if not near:
        removed["neighbors"] = None
    kept = {"baselines": baselines, "vectors": chosen.target.vectors if wants else {}}
    _log.info("target %s: data and baselines", chosen.target.name)
    return _walked(chosen.target.model_copy(update={**removed, **kept}), runners.runner(until="evaluation"))


def _source(source: Experiment, runners: _Runners) -> dict[str, Stage]:
    """Add the source's stages up to its model or reinforced model, without baselines and evaluations."""
    scorer = source.reinforcement.scorer if source.reinforcement is not None else None
    baselines = {name: each for name, each in source.baselines.items() if name == scorer}
    last = "reinforced" if source.reinforcement is not None else "model"
    _log.info("source %s: up to its %s", source.name, last)
    return _walked(source.model_copy(update={"baselines": baselines}), runners.runner("source.", until=last))


def _walked(experiment: Experiment, runner: StageRunner) -> dict[str, Stage]:
    with contextlib.suppress(StopRequested):
        graph.walk(experiment, runner)
    return {stage.name: stage for stage in runner.stages}


def _name_target(chosen: Transfer, runners: _Runners, source: Mapping[str, Stage], data: Stage) -> _Named:
    """Embed the target's items in the source's vector space and give them identifiers by its quantiser."""
    codes, naming = chosen.source.codes, chosen.source.naming
    assert isinstance(codes, Quantiser)
    assert naming is not None
    runner, vectors = runners.runner("carried."), {}
    _log.info("target %s: identifiers by the source's quantiser", chosen.target.name)
    for name, settings in chosen.source.vectors.items():
        stage = f"vectors.{name}"
        if isinstance(settings, PrecomputedVectors):
            theirs = chosen.target.vectors[name]
            assert isinstance(theirs, PrecomputedVectors)
            vectors[stage] = runner.stage(
                stage, preparing.prepare_vectors, theirs, {"data": data}, {"file": theirs.path}
            )
            continue
        folder = isinstance(settings, SentenceVectors) and Path(settings.model).is_dir()
        raw = {"model": Path(settings.model)} if isinstance(settings, SentenceVectors) and folder else {}
        given = {"data": data, "first": source["data"]}
        vectors[stage] = runner.stage(stage, stages.embed_target, settings, given, raw)
    given = {"codebook": source["codes"], **vectors}
    carried = runner.stage("codes", stages.apply_codebook, codes.collisions, given)
    spelled = runner.stage("identifiers", preparing.prepare_identifiers, naming, {"data": data, "codes": carried})
    return _Named(data, vectors, carried, spelled)


def _near_in_text(chosen: Transfer, runners: _Runners, named: _Named) -> Stage | None:
    """Add the target's neighbours by vectors, as many as the source has; None where the source has none."""
    if chosen.source.neighbors is None or chosen.settings.neighbors == "none":
        return None
    settings, given = VectorNeighbors(k=chosen.source.neighbors.k), {"data": named.data, **named.vectors}
    return runners.runner("carried.").stage("neighbors", baselines.prepare_neighbors, settings, given)


def _learned_there(chosen: Transfer, runners: _Runners, named: _Named) -> dict[str, Stage | None]:
    """Add what models trained on the target read besides: neighbours from its training part, a lexicon of its texts."""
    if not sees_training(chosen):
        return {}
    runner, source = runners.runner("target."), chosen.source
    experiment = chosen.target.model_copy(update={"neighbors": neighbors_there(chosen)})
    learned = {"neighbors": item_stages.neighbors_stage(experiment, runner, named.data, named.vectors)}
    if source.wants_words and chosen.settings.fine_tune:
        inputs = {"data": named.data, "codes": named.codes}
        learned["lexicon"] = item_stages.lexicon_stage(source, runner, inputs, named.vectors)
    return learned


def _untrained(source: Experiment, runners: _Runners, stages_of_source: Mapping[str, Stage]) -> Stage:
    """Add the source's model before training."""
    assert source.backbone is not None
    assert source.model is not None
    wanted = ("data", "tokenizer", "codes", "identifiers", "lexicon", "neighbors", "backbone")
    inputs = {name: stage for name, stage in stages_of_source.items() if name in wanted or name.startswith("vectors.")}
    raw = {} if "backbone" in stages_of_source else item_stages.backbone_files(source.backbone)
    settings = ModelStage(backbone=source.backbone, model=source.model)
    runner = runners.runner("source.")
    return runner.stage("untrained", stages.build_untrained, settings, inputs, raw)


def _alone(
    chosen: Transfer, runners: _Runners, source: Mapping[str, Stage], named: _Named, there: Mapping[str, Stage | None]
) -> Stage:
    """Add the source's model trained on the target from scratch, with its backbone pretrained on the target's text."""
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
    model_alone = graph.model_stage(experiment, runner, given, named.vectors, there.get("neighbors"))
    assert model_alone is not None
    return model_alone


def _measure(
    chosen: Transfer, runner: StageRunner, target: Mapping[str, Stage], named: _Named, recommenders: Mapping[str, Stage]
) -> None:
    """Add the evaluations of the transferred recommenders and the report beside the baselines."""
    evaluations = {name: stage for name, stage in target.items() if stage.group == "evaluation"}
    for name, recommender in recommenders.items():
        stage, given = f"evaluation.{name}", {"data": named.data, "recommender": recommender}
        evaluations[stage] = runner.stage(stage, evaluation.measure, chosen.evaluation, given)
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

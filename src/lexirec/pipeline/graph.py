"""The graph of an experiment's stages, from data to report, in the order in which they run.

    data -> vectors -> codes -> lexicon -> identifiers -> model -> reinforced -> fused -> evaluation -> report
       \\-> tokenizer -> backbone ------------------^
       \\-> neighbors, baselines ------------------^--------------^

Experts are recommenders of other experiment files; the same stages make them on the same data. Running and planning
use the same function, `walk`: a runner executes the stages that the store lacks, or only records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lexirec.core.errors import DataError
from lexirec.core.runs import EXPERTS, FUSED, Stage
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.tsrec.rewards import columns_of
from lexirec.pipeline.backbone_check import check_backbone
from lexirec.pipeline.baseline_sizes import left_out_by_size
from lexirec.pipeline.data_checks import check_data
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.item_stages import (
    backbone_files,
    data_files,
    identifier_stages,
    neighbors_stage,
    vector_stages,
)
from lexirec.pipeline.resolve import expert_experiment, fusions
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages.baselines import fit_baseline
from lexirec.pipeline.stages.data import load_split, prepare_data, prepare_times
from lexirec.pipeline.stages.evaluation import measure
from lexirec.pipeline.stages.fusion import fuse
from lexirec.pipeline.stages.models import BackboneStage, ModelStage, fit_model, pretrain_backbone, reinforce_model
from lexirec.pipeline.stages.report import make_report

VERSIONS = {
    "data": 1,
    "vectors": 1,
    "tokenizer": 1,
    "codes": 1,
    "lexicon": 1,
    "identifiers": 1,
    "neighbors": 1,
    "backbone": 1,
    "times": 1,
    "baselines": 1,
    "model": 1,
    "reinforced": 1,
    "fused": 1,
    "evaluation": 2,
    "report": 2,
}
"""Code version of each stage, in order; raise one when its code gives another result from the same inputs."""


def walk(experiment: Experiment, runner: StageRunner) -> None:
    """Add every stage of the experiment to the runner, from the raw files to the report."""
    experts = {
        name: expert_experiment(experiment, name) for name in experiment.experts
    }  # reports errors in their files before anything is trained
    for each in (experiment, *experts.values()):
        check_backbone(each)
    ensembles = fusions(experiment, experts)
    named, recommenders = _recommenders(experiment, runner)
    data = named["data"]
    assert data is not None  # the first stage
    others = {name: _expert(each, runner, name, experiment.experts[name].part) for name, each in experts.items()}
    recommenders = others | recommenders
    vectors = {name: stage for name, stage in named.items() if name.startswith("vectors.")}
    fused = _fused(ensembles, runner, {"data": data, **vectors}, recommenders)
    evaluations = _evaluations(experiment, runner, data, recommenders | fused)
    if evaluations:
        shown = list(recommenders.values())[-1]
        shown_with = {"data": data, "identifiers": named.get("identifiers"), "recommender": shown}
        settings = _report_settings(experiment) | ({"left_out": dict(runner.left_out)} if runner.left_out else {})
        runner.stage("report", make_report, settings, {**shown_with, **evaluations})


def _evaluations(
    experiment: Experiment, runner: StageRunner, data: Stage, recommenders: Mapping[str, Stage]
) -> dict[str, Stage]:
    """Add the evaluations of all recommenders; a baseline that cannot be evaluated is left out.

    Raises:
        DataError: nothing is left to evaluate.
    """
    stages: dict[str, Stage] = {}
    for name, recommender in recommenders.items():
        inputs = {"data": data, "recommender": recommender}
        add = partial(runner.stage, f"evaluation.{name}", measure, experiment.evaluation, inputs)
        stage = runner.attempt(f"baselines.{name}", add) if name in experiment.baselines else add()
        stages |= {f"evaluation.{name}": stage} if stage is not None else {}
    if not stages and runner.left_out:
        reasons = "; ".join(f"{name}: {why}" for name, why in runner.left_out.items())
        raise DataError(f"no recommender could be made ({reasons})")
    return stages


def _recommenders(experiment: Experiment, runner: StageRunner) -> tuple[dict[str, Stage | None], dict[str, Stage]]:
    """Add an experiment's own recommenders; return the stages of the items, and the recommenders, main one last."""
    data = runner.stage("data", prepare_data, experiment.data, {}, data_files(experiment))
    if runner.act and runner.within is None:
        split = load_split(data.folder)
        check_data(experiment, split, runner.until)
        for name, why in left_out_by_size(experiment, split.n_items, len(split.train)).items():
            runner.leave_out(f"baselines.{name}", why)
    vectors = vector_stages(experiment, runner, data)
    named = identifier_stages(experiment, runner, data, vectors)
    neighbors = neighbors_stage(experiment, runner, data, vectors)
    model = model_stage(experiment, runner, named, vectors, neighbors)
    recommenders = _baselines(experiment, runner, {"data": data, **vectors}, neighbors)
    recommenders |= {"model": model} if model is not None else {}
    return named | vectors, recommenders | _reinforced(experiment, runner, {"data": data, **vectors}, recommenders)


def _expert(experiment: Experiment, runner: StageRunner, name: str, part: str) -> Stage:
    """Add a recommender of another experiment; stages with equal keys are added once."""
    last = part if part in ("model", "reinforced") else f"baselines.{part}"
    return _recommenders(experiment, runner.inside(f"{EXPERTS}.{name}", last))[1][part]


def _report_settings(experiment: Experiment) -> dict[str, object]:
    kinds = {name: str(baseline.kind) for name, baseline in experiment.baselines.items()}
    kinds |= {"model": experiment.model.kind} if experiment.model is not None else {}
    kinds |= {"reinforced": "causal"} if experiment.reinforcement is not None else {}
    kinds |= dict.fromkeys(experiment.experts, "expert")
    kinds |= dict.fromkeys(experiment.ensemble, FUSED)
    return {"name": experiment.name, "kinds": kinds, "evaluation": experiment.evaluation.model_dump(mode="json")}


def model_stage(
    experiment: Experiment,
    runner: StageRunner,
    named: Mapping[str, Stage | None],
    vectors: Mapping[str, Stage],
    neighbors: Stage | None,
) -> Stage | None:
    """Add the generative model, and before it the pretraining of its backbone where the experiment has one."""
    model, backbone = experiment.model, experiment.backbone
    if model is None or backbone is None:
        return None
    raw = backbone_files(backbone)
    inputs: dict[str, Stage | None] = {"neighbors": neighbors}
    wanted = ("data", "tokenizer", "identifiers") + (("codes", "lexicon") if model.kind == "causal" else ())
    inputs |= {name: named.get(name) for name in wanted}
    if experiment.pretraining is not None:
        settings = BackboneStage(backbone=backbone, pretraining=experiment.pretraining, seed=model.seed)
        texts = {"data": named["data"], "tokenizer": named["tokenizer"]}
        inputs["backbone"] = runner.stage("backbone", pretrain_backbone, settings, texts, raw)
        raw = {}
    grounded = model.network.grounded
    inputs |= vectors if grounded else {}
    return runner.stage("model", fit_model, ModelStage(backbone=backbone, model=model), inputs, raw)


def _reinforced(
    experiment: Experiment, runner: StageRunner, given: Mapping[str, Stage], recommenders: Mapping[str, Stage]
) -> dict[str, Stage]:
    """Add the reinforced model, a recommender beside the supervised one."""
    settings = experiment.reinforcement
    if settings is None or "model" not in recommenders:
        return {}
    inputs: dict[str, Stage | None] = {"data": given["data"], "model": recommenders["model"]}
    inputs |= given if "vectors_ID" in columns_of(settings.rewards) else {}
    if settings.scorer is not None:
        if settings.scorer not in recommenders:
            raise DataError(
                f"'reinforcement.scorer' names '{settings.scorer}', which is left out; name another baseline"
            )
        inputs["scorer"] = recommenders[settings.scorer]
    return {"reinforced": runner.stage("reinforced", reinforce_model, settings, inputs)}


def _fused(
    ensembles: Mapping[str, EnsembleSettings],
    runner: StageRunner,
    given: Mapping[str, Stage | None],
    recommenders: Mapping[str, Stage],
) -> dict[str, Stage]:
    """Add the ensembles of the given recommenders."""
    stages = {}
    for name, settings in ensembles.items():
        absent = [part for part in settings.of if part not in recommenders]
        if absent:
            runner.leave_out(f"ensemble.{name}", f"its part {absent[0]} is left out")
            continue
        inputs: dict[str, Stage | None] = {"data": given["data"]}
        inputs |= {part: recommenders[part] for part in settings.of}
        inputs |= given if "vectors" in settings.needed() else {}
        stages[name] = runner.stage(FUSED if name == FUSED else f"{FUSED}.{name}", fuse, settings, inputs)
    return stages


def _baselines(
    experiment: Experiment, runner: StageRunner, given: Mapping[str, Stage], neighbors: Stage | None
) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    times = None
    if any("times" in settings.needed() for settings in experiment.baselines.values()):
        times = runner.stage("times", prepare_times, experiment.data, {"data": given["data"]}, data_files(experiment))
    for name, settings in experiment.baselines.items():
        needed = settings.needed()
        inputs: dict[str, Stage | None] = {"data": given["data"], **(given if "vectors" in needed else {})}
        inputs |= {each: stage for each, stage in (("times", times), ("neighbors", neighbors)) if each in needed}
        label = f"baselines.{name}"
        if label in (runner.left_out or {}):
            continue  # too large for this catalogue
        stage = runner.attempt(label, partial(runner.stage, label, fit_baseline, settings.stored(), inputs))
        stages |= {name: stage} if stage is not None else {}
    return stages

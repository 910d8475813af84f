"""From an experiment file to measured recommenders: one function that reads top to bottom.

    data -> vectors -> codes -> lexicon -> identifiers -> model -> reinforced -> fused -> evaluation -> report
       \\-> tokenizer -> backbone ------------------^
       \\-> neighbors, baselines ------------------^--------------^

Experts are other files' recommenders, made by the same stages on the same data, and go where the model goes.

`run` makes what the store does not have yet, `plan` only says what that would be. Both walk the same line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lexirec.core.errors import DataError
from lexirec.core.runs import EXPERTS, FUSED, Stage
from lexirec.models.baselines.sasrec import SasrecSettings
from lexirec.models.baselines.sequential import SequenceTrainingSettings
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.tsrec.rewards import columns_of
from lexirec.nn.causal_lm import CausalBackboneSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.pipeline.components import (
    CodesChoice,
    PublishedKeywords,
    SasrecNeighbors,
    Tables,
)
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.resolve import expert_experiment, fusions
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages.baselines import fit_baseline, prepare_neighbors
from lexirec.pipeline.stages.data import prepare_data, prepare_times
from lexirec.pipeline.stages.evaluation import measure
from lexirec.pipeline.stages.fusion import fuse
from lexirec.pipeline.stages.identifiers import (
    prepare_codes,
    prepare_identifiers,
    prepare_lexicon,
    prepare_tokenizer,
    prepare_vectors,
)
from lexirec.pipeline.stages.models import BackboneStage, ModelStage, fit_model, pretrain_backbone, reinforce_model
from lexirec.pipeline.stages.report import make_report
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon

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
"""Versions of the stages, in order; raise one when its code gives another result from the same inputs."""


def walk(experiment: Experiment, runner: StageRunner) -> None:
    """Take every step of the experiment, from the raw files to the report."""
    experts = {name: expert_experiment(experiment, name) for name in experiment.experts}  # before anything is trained
    mixed = fusions(experiment, experts)
    named, recommenders = _recommenders(experiment, runner)
    data = named["data"]
    assert data is not None  # it is the first step
    others = {name: _expert(each, runner, name, experiment.experts[name].part) for name, each in experts.items()}
    recommenders = others | recommenders
    vectors = {name: step for name, step in named.items() if name.startswith("vectors.")}
    fused = _fused(mixed, runner, {"data": data, **vectors}, recommenders)
    evaluations = {
        f"evaluation.{name}": runner.stage(
            f"evaluation.{name}", measure, experiment.evaluation, {"data": data, "recommender": recommender}
        )
        for name, recommender in (recommenders | fused).items()
    }
    if evaluations:
        shown = list(recommenders.values())[-1]
        shown_with = {"data": data, "identifiers": named.get("identifiers"), "recommender": shown}
        runner.stage("report", make_report, _report_settings(experiment), {**shown_with, **evaluations})


def _recommenders(experiment: Experiment, runner: StageRunner) -> tuple[dict[str, Stage | None], dict[str, Stage]]:
    """Make an experiment's own recommenders; return what is known of items, and them, the one it is about last."""
    data = runner.stage("data", prepare_data, experiment.data, {}, _data_files(experiment))
    vectors = _vectors(experiment, runner, data)
    named = _identifiers(experiment, runner, data, vectors)
    neighbors = neighbors_step(experiment, runner, data, vectors)
    model = model_step(experiment, runner, named, vectors, neighbors)
    made = _baselines(experiment, runner, {"data": data, **vectors}, neighbors)
    made |= {"model": model} if model is not None else {}
    return named | vectors, made | _reinforced(experiment, runner, {"data": data, **vectors}, made)


def _expert(experiment: Experiment, runner: StageRunner, name: str, part: str) -> Stage:
    """Make a recommender of another experiment; what both experiments need is made once."""
    last = part if part in ("model", "reinforced") else f"baselines.{part}"
    return _recommenders(experiment, runner.inside(f"{EXPERTS}.{name}", last))[1][part]


def _report_settings(experiment: Experiment) -> dict[str, object]:
    kinds = {name: str(baseline.kind) for name, baseline in experiment.baselines.items()}
    kinds |= {"model": experiment.model.kind} if experiment.model is not None else {}
    kinds |= {"reinforced": "causal"} if experiment.reinforcement is not None else {}
    kinds |= dict.fromkeys(experiment.experts, "expert")
    kinds |= dict.fromkeys(experiment.ensemble, FUSED)
    return {"name": experiment.name, "kinds": kinds, "evaluation": experiment.evaluation.model_dump(mode="json")}


def _data_files(experiment: Experiment) -> dict[str, Path]:
    if not isinstance(experiment.data, Tables):
        return {}
    files = {"items": experiment.data.items, "interactions": experiment.data.interactions}
    files |= {"users": experiment.data.users} if experiment.data.users is not None else {}
    for name, path in files.items():
        if not path.is_file():
            raise DataError(
                f"data.{name}: there is no file {path}; put it there, or say where it is with --set data.{name}=PATH "
                "(the shipped experiments look below the folder in LEXIREC_DATA)"
            )
    return files


def _vectors(experiment: Experiment, runner: StageRunner, data: Stage) -> dict[str, Stage]:
    steps = {}
    for name, settings in experiment.vectors.items():
        raw = {"file": settings.path} if isinstance(settings, PrecomputedVectors) else {}
        if isinstance(settings, SentenceVectors) and Path(settings.model).is_dir():
            raw = {"model": Path(settings.model)}  # a folder's content counts, a hub name stands for itself
        steps[f"vectors.{name}"] = runner.stage(f"vectors.{name}", prepare_vectors, settings, {"data": data}, raw)
    return steps


def _identifiers(
    experiment: Experiment, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]
) -> dict[str, Stage | None]:
    """Name the items: give them codes where those are asked for, name their cells, spell the identifiers.

    Returns the steps by what they make: `data`, and of `codes`, `tokenizer`, `lexicon`, `identifiers` those there are.
    """
    naming, lexical = experiment.naming, _spells_cells(experiment)
    given: dict[str, Stage | None] = {"data": data}
    if experiment.codes is not None:
        given["codes"] = _codes(experiment.codes, runner, data, vectors)
    if naming is not None and experiment.backbone is not None:
        given["tokenizer"] = _tokenizer(experiment.backbone, runner, data)
    if lexical or experiment.wants_words:
        given["lexicon"] = lexicon_step(experiment, runner, given, vectors)
    if naming is not None:
        inputs = given if lexical else {**given, "lexicon": None}
        given["identifiers"] = runner.stage("identifiers", prepare_identifiers, naming, inputs, naming.files())
    return given


def _spells_cells(experiment: Experiment) -> bool:
    """Whether identifiers are spelled with the lexicon's terms."""
    return experiment.spelling is not None and "lexicon" in experiment.spelling.needed()


def _codes(settings: CodesChoice, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]) -> Stage:
    needed = settings.needed()
    inputs = {"data": data} if "catalog" in needed else {}
    inputs |= vectors if "vectors" in needed else {}
    if "collaborative" in needed:  # the vectors of who buys what, of a SASRec with the seed of the codes
        network = SasrecSettings(training=SequenceTrainingSettings(seed=getattr(settings, "seed", 0)))
        inputs["sasrec"] = runner.stage("codes.sasrec", fit_baseline, network, {"data": data}, kind="baselines")
    return runner.stage("codes", prepare_codes, settings, inputs, settings.files())


def lexicon_step(
    experiment: Experiment, runner: StageRunner, given: Mapping[str, Stage | None], vectors: Mapping[str, Stage]
) -> Stage:
    """Name the cells of the given codes."""
    settings = experiment.lexicon
    inputs = {"data": given["data"], "codes": given["codes"]}
    match settings:
        case PublishedKeywords(path=path):
            return runner.stage("lexicon", prepare_lexicon, settings, inputs, {"keywords": path})
        case ContrastiveLexicon() | LLMLexicon():
            return runner.stage("lexicon", prepare_lexicon, settings, {**inputs, **vectors})
        case _:  # words of the backbone's own where they spell identifiers, else whole words
            tokenizer = {"tokenizer": given.get("tokenizer")} if _spells_cells(experiment) else {}
            return runner.stage("lexicon", prepare_lexicon, settings, {**inputs, **tokenizer})


def _tokenizer(backbone: BackboneSettings | CausalBackboneSettings, runner: StageRunner, data: Stage) -> Stage:
    """Take the backbone's tokenizer; what else the backbone is set to does not matter to names."""
    names = {"kind", "name", "vocabulary_size", "lower_case"} if backbone.scratch else {"kind", "name"}
    settings = backbone.model_dump(mode="json", include=names)
    return runner.stage("tokenizer", prepare_tokenizer, settings, {"data": data}, backbone_files(backbone))


def backbone_files(backbone: BackboneSettings | CausalBackboneSettings) -> dict[str, Path]:
    """Return the folder of a backbone on this disk, which enters keys by its content."""
    folder = Path(backbone.name)
    return {"backbone": folder} if folder.is_dir() else {}


def neighbors_step(
    experiment: Experiment, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]
) -> Stage | None:
    """Find similar items, as the experiment says."""
    settings = experiment.neighbors
    if settings is None:
        return None
    given = {"data": data, **(vectors if "vectors" in settings.needed() else {})}
    if isinstance(settings, SasrecNeighbors):
        network = settings.sasrec
        given["sasrec"] = runner.stage("neighbors.sasrec", fit_baseline, network, {"data": data}, kind="baselines")
    return runner.stage("neighbors", prepare_neighbors, settings, given, settings.files())


def model_step(
    experiment: Experiment,
    runner: StageRunner,
    named: Mapping[str, Stage | None],
    vectors: Mapping[str, Stage],
    neighbors: Stage | None,
) -> Stage | None:
    """Train the generative model, from a backbone pretrained on the catalogue's text where that is asked for."""
    model, backbone = experiment.model, experiment.backbone
    if model is None or backbone is None:
        return None
    raw = backbone_files(backbone)
    inputs: dict[str, Stage | None] = {"neighbors": neighbors}
    wanted = ("data", "tokenizer", "identifiers") + (("codes", "lexicon") if model.kind == "causal" else ())
    inputs |= {name: named.get(name) for name in wanted}
    if experiment.pretraining is not None:
        stage = BackboneStage(backbone=backbone, pretraining=experiment.pretraining, seed=model.seed)
        given = {"data": named["data"], "tokenizer": named["tokenizer"]}
        inputs["backbone"] = runner.stage("backbone", pretrain_backbone, stage, given, raw)
        raw = {}
    grounded = model.network.grounded
    inputs |= vectors if grounded else {}
    return runner.stage("model", fit_model, ModelStage(backbone=backbone, model=model), inputs, raw)


def _reinforced(
    experiment: Experiment, runner: StageRunner, given: Mapping[str, Stage], recommenders: Mapping[str, Stage]
) -> dict[str, Stage]:
    """Polish the model, and let it stand beside the one it was."""
    settings = experiment.reinforcement
    if settings is None or "model" not in recommenders:
        return {}
    inputs: dict[str, Stage | None] = {"data": given["data"], "model": recommenders["model"]}
    inputs |= given if "vectors_ID" in columns_of(settings.rewards) else {}
    inputs |= {"scorer": recommenders[settings.scorer]} if settings.scorer is not None else {}
    return {"reinforced": runner.stage("reinforced", reinforce_model, settings, inputs)}


def _fused(
    mixed: Mapping[str, EnsembleSettings],
    runner: StageRunner,
    given: Mapping[str, Stage | None],
    recommenders: Mapping[str, Stage],
) -> dict[str, Stage]:
    """Make recommenders of those there are."""
    steps = {}
    for name, settings in mixed.items():
        inputs: dict[str, Stage | None] = {"data": given["data"]}
        inputs |= {part: recommenders[part] for part in settings.of}
        inputs |= given if "vectors" in settings.needed() else {}
        steps[name] = runner.stage(FUSED if name == FUSED else f"{FUSED}.{name}", fuse, settings, inputs)
    return steps


def _baselines(
    experiment: Experiment, runner: StageRunner, given: Mapping[str, Stage], neighbors: Stage | None
) -> dict[str, Stage]:
    steps, times = {}, None
    if any("times" in settings.needed() for settings in experiment.baselines.values()):
        times = runner.stage("times", prepare_times, experiment.data, {"data": given["data"]}, _data_files(experiment))
    for name, settings in experiment.baselines.items():
        needed = settings.needed()
        inputs: dict[str, Stage | None] = {"data": given["data"], **(given if "vectors" in needed else {})}
        inputs |= {each: step for each, step in (("times", times), ("neighbors", neighbors)) if each in needed}
        steps[name] = runner.stage(f"baselines.{name}", fit_baseline, settings.stored(), inputs)
    return steps

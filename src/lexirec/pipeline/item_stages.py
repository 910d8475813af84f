"""Stages that describe the items, in order: vectors, codes, tokenizer, lexicon, identifiers, neighbours.

Each function adds the stages of one table of the experiment file to a runner and returns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lexirec.core.config import Settings
from lexirec.core.errors import DataError
from lexirec.core.runs import Stage
from lexirec.models.baselines.sasrec import SasrecSettings
from lexirec.models.baselines.sequential import SequenceTrainingSettings
from lexirec.nn.backbone_folder import local_files
from lexirec.nn.causal_lm import CausalBackboneSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.pipeline.components import (
    CodesChoice,
    PublishedKeywords,
    SasrecNeighbors,
    Tables,
)
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.picture_inputs import located, model_folder
from lexirec.pipeline.runner import StageRunner
from lexirec.pipeline.stages.baselines import fit_baseline, prepare_neighbors
from lexirec.pipeline.stages.identifiers import (
    prepare_codes,
    prepare_identifiers,
    prepare_lexicon,
    prepare_tokenizer,
    prepare_vectors,
)
from lexirec.semantic_ids.embeddings.item_embeddings import PrecomputedVectors
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon


def data_files(experiment: Experiment) -> dict[str, Path]:
    """Return the tables of an experiment by name; empty for the toy shop.

    Raises:
        DataError: a file does not exist.
    """
    if not isinstance(experiment.data, Tables):
        return {}
    files = {"items": experiment.data.items, "interactions": experiment.data.interactions}
    files |= {"users": experiment.data.users} if experiment.data.users is not None else {}
    for name, path in files.items():
        if not path.is_file():
            raise DataError(
                f"data.{name}: file {path} does not exist; use --set data.{name}=PATH (paths of shipped experiments "
                "start at the folder in LEXIREC_DATA)"
            )
    return files


def vector_stages(experiment: Experiment, runner: StageRunner, data: Stage) -> dict[str, Stage]:
    """Add a stage for every source of item vectors; return them as `vectors.NAME`."""
    stages = {}
    for name, settings in experiment.vectors.items():
        raw = {"file": settings.path} if isinstance(settings, PrecomputedVectors) else {}
        if isinstance(settings, SentenceVectors) and Path(settings.model).is_dir():
            raw = {"model": Path(settings.model)}  # a local folder enters the key by its content, a hub name by itself
        given: Settings = settings
        if isinstance(settings, PictureVectors):
            raw, given = model_folder(settings), located(settings, experiment.data, data, runner.store)
        stages[f"vectors.{name}"] = runner.stage(f"vectors.{name}", prepare_vectors, given, {"data": data}, raw)
    return stages


def identifier_stages(
    experiment: Experiment, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]
) -> dict[str, Stage | None]:
    """Add the stages from codes to identifiers.

    Returns:
        Stages by name: `data`, and those of `codes`, `tokenizer`, `lexicon` and `identifiers` that the experiment has.
    """
    naming, lexical = experiment.naming, _uses_lexicon(experiment)
    stages: dict[str, Stage | None] = {"data": data}
    if experiment.codes is not None:
        stages["codes"] = _codes(experiment.codes, runner, data, vectors)
    if naming is not None and experiment.backbone is not None:
        stages["tokenizer"] = _tokenizer(experiment.backbone, runner, data)
    if lexical or experiment.wants_words:
        stages["lexicon"] = lexicon_stage(experiment, runner, stages, vectors)
    if naming is not None:
        inputs = stages if lexical else {**stages, "lexicon": None}
        stages["identifiers"] = runner.stage("identifiers", prepare_identifiers, naming, inputs, naming.files())
    return stages


def _uses_lexicon(experiment: Experiment) -> bool:
    """Whether identifiers consist of the lexicon's terms."""
    return experiment.spelling is not None and "lexicon" in experiment.spelling.needed()


def _codes(settings: CodesChoice, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]) -> Stage:
    needed = settings.needed()
    inputs = {"data": data} if "catalog" in needed else {}
    inputs |= vectors if "vectors" in needed else {}
    if "collaborative" in needed:  # LETTER's loss aligns codes with item vectors of a SASRec with the codes' seed
        network = SasrecSettings(training=SequenceTrainingSettings(seed=getattr(settings, "seed", 0)))
        inputs["sasrec"] = runner.stage("codes.sasrec", fit_baseline, network, {"data": data}, kind="baselines")
    return runner.stage("codes", prepare_codes, settings, inputs, settings.files())


def lexicon_stage(
    experiment: Experiment, runner: StageRunner, stages: Mapping[str, Stage | None], vectors: Mapping[str, Stage]
) -> Stage:
    """Add the stage that labels the cells of the codes."""
    settings = experiment.lexicon
    inputs = {"data": stages["data"], "codes": stages["codes"]}
    match settings:
        case PublishedKeywords(path=path):
            return runner.stage("lexicon", prepare_lexicon, settings, inputs, {"keywords": path})
        case ContrastiveLexicon() | LLMLexicon():
            return runner.stage("lexicon", prepare_lexicon, settings, {**inputs, **vectors})
        case _:  # tokens of the backbone where they spell identifiers, else whole words
            tokenizer = {"tokenizer": stages.get("tokenizer")} if _uses_lexicon(experiment) else {}
            return runner.stage("lexicon", prepare_lexicon, settings, {**inputs, **tokenizer})


def _tokenizer(backbone: BackboneSettings | CausalBackboneSettings, runner: StageRunner, data: Stage) -> Stage:
    """Add the tokenizer's stage; only the settings that define the tokenizer enter its key."""
    names = {"kind", "name", "vocabulary_size", "lower_case"} if backbone.scratch else {"kind", "name"}
    settings = backbone.model_dump(mode="json", include=names)
    if isinstance(backbone, BackboneSettings) and backbone.encoder is not None:  # its own tokenizer is used
        settings = {"kind": backbone.kind, "encoder": {"name": backbone.encoder.name}}
    return runner.stage("tokenizer", prepare_tokenizer, settings, {"data": data}, backbone_files(backbone))


def backbone_files(backbone: BackboneSettings | CausalBackboneSettings) -> dict[str, Path]:
    """Return the local files of a backbone and of its pretrained encoder; their content enters the key."""
    names = {} if backbone.scratch else {"backbone": backbone.name}
    if isinstance(backbone, BackboneSettings) and backbone.encoder is not None:
        names["encoder"] = backbone.encoder.name
    return {each: folder for each, name in names.items() if (folder := local_files(name)) is not None}


def neighbors_stage(
    experiment: Experiment, runner: StageRunner, data: Stage, vectors: Mapping[str, Stage]
) -> Stage | None:
    """Add the stage of similar items; None where the experiment has none."""
    settings = experiment.neighbors
    if settings is None:
        return None
    inputs = {"data": data, **(vectors if "vectors" in settings.needed() else {})}
    if isinstance(settings, SasrecNeighbors):
        network = settings.sasrec
        inputs["sasrec"] = runner.stage("neighbors.sasrec", fit_baseline, network, {"data": data}, kind="baselines")
    return runner.stage("neighbors", prepare_neighbors, settings, inputs, settings.files())

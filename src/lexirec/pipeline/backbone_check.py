"""Check the pretrained backbone of an experiment before anything is computed, as far as its files allow.

A backbone is first loaded long after the start of a run: behind vectors, codes and neighbours. A folder that lacks a
tokenizer or weights, or a model of another family, is refused here instead. Names of the hub are not checked, since
that would download them.
"""

from __future__ import annotations

import numpy as np

from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.nn.backbone_fit import positions_of
from lexirec.nn.backbone_folder import check_weight_files, local_files
from lexirec.nn.causal_lm import CausalBackboneSettings, causal_config, load_causal_tokenizer
from lexirec.nn.depth import cut_depth
from lexirec.nn.t5 import BackboneSettings, family_config, load_tokenizer
from lexirec.pipeline.experiment import Experiment


def check_backbone(experiment: Experiment) -> None:
    """Check that a folder or GGUF file has a usable tokenizer and all its weights, and holds the prompts.

    Raises:
        SettingsError: the folder lacks a part, or its model is of another family or too short for the prompts.
        ArtifactError: a file cannot be read.
    """
    backbone = experiment.backbone
    if isinstance(backbone, BackboneSettings) and backbone.encoder is not None:
        if local_files(backbone.encoder.name) is not None:
            load_tokenizer(backbone, texts=[])
            check_weight_files(backbone.encoder.name)
        return
    if backbone is None or backbone.scratch or local_files(backbone.name) is None:
        return
    if not isinstance(backbone, CausalBackboneSettings):
        load_tokenizer(backbone)
        check_weight_files(backbone.name)
        cut_depth(family_config(backbone.name), backbone.keep_layers, backbone.name)
        return
    tokenizer = load_causal_tokenizer(backbone)
    check_weight_files(backbone.name)
    cut_depth(causal_config(backbone.name), backbone.keep_layers, backbone.name)
    if isinstance(experiment.model, TSRecSettings):
        # identifiers of one token: with real ones the builder of the model asks for a little more
        shortest = np.zeros((1, 1), dtype=np.int32)
        PromptBuilder(tokenizer, shortest, experiment.model.prompts, positions_of(causal_config(backbone.name)))

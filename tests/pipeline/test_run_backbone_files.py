"""Whole runs from a GGUF file and from a folder, cut to the first layers: made, stored, loaded and asked."""

from __future__ import annotations

import pytest

from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.models.loading import load_recommender
from lexirec.pipeline.run import run_experiment
from tests.worlds import small_run
from tests.worlds.families import family_folder
from tests.worlds.gguf_files import write

TRAINING = {"epochs": 1, "evals_per_epoch": 1, "checkpoints_per_epoch": 1, "validation_users": 20}


@pytest.mark.long
@pytest.mark.parametrize(("source", "pretrained"), [("mine.gguf", False), ("mine.gguf", True), ("folder", False)])
def test_a_run_of_the_first_layers(source, pretrained, tmp_path):
    name = str(tmp_path / source)
    if source == "folder":
        family_folder(tmp_path / source, "gemma3", spare=28)
    else:
        write(tmp_path / source, quantised=True)
    tables = {
        "neighbors": None,
        "baselines": {},
        "codes": {"kind": "residual-kmeans", "branching": 6, "levels": 2},
        "lexicon": {"kind": "tf-idf"},
        "backbone": {"kind": "causal", "name": name, "keep_layers": 1},
        "model": {
            "kind": "causal",
            "prompts": {"frame": "plain", "max_history": 3},
            "sa_init": {},
            "tasks": {"history_title": 0, "sid_title": 0, "ts_align": 0.2},
            "training": TRAINING,
        },
    }
    if pretrained:
        tables["pretraining"] = {"epochs": 1, "max_length": 32}
    store = Store(tmp_path / "store")
    run = run_experiment(small_run.experiment(**tables), store)
    assert run is not None
    recommender = load_recommender(store.root / run.stages["model"].folder)
    assert recommender.backbone.model.config.num_hidden_layers == 1
    assert not hasattr(recommender.backbone.model.config, "quantization_config")
    found = recommender.searcher.rank(Sequences.from_lists([[1, 2, 3]]), 5)
    assert len(set(found.items[0].tolist())) == 5

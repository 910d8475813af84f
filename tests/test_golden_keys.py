"""What is stored today is found and read tomorrow: content keys, and a store that an earlier version made."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lexirec.core.runs import find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.models.loading import load_recommender
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment

FIXTURE = Path(__file__).parent / "fixtures" / "store-2e4f166.tar.xz"
"""Two finished toy experiments, their files and what their recommenders answered, made by commit 2e4f166."""
SMALL = ["data.products=120", "data.shoppers=150", "model.training.epochs=1", "baselines={}"]
GOLDEN = {
    "toy-gram": {
        "data": "dc66f6949dd3",
        "vectors.text": "6970dd33ff0a",
        "codes": "b604c816ab0f",
        "tokenizer": "a1eb067c4012",
        "lexicon": "09d8b26040d4",
        "identifiers": "5d90662bdc92",
        "neighbors": "1b98c802e552",
        "model": "55060149e9ec",
        "evaluation.model": "c72b659b45ea",
        "report": "1576dda7837e",
    },
    "toy-tsrec": {
        "data": "dc66f6949dd3",
        "vectors.text": "6970dd33ff0a",
        "codes": "5582b300834e",
        "tokenizer": "c62e68b3b56d",
        "lexicon": "d049c854a649",
        "identifiers": "000b5f607103",
        "neighbors": "e8c28810d938",
        "backbone": "bb79f4410ff0",
        "model": "eddeb3352ff3",
        "reinforced": "246c8a91b0d6",
        "evaluation.model": "813cad7dc469",
        "evaluation.reinforced": "365d3e4e5a17",
        "report": "d6711770fdd6",
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_content_keys_stay_as_they_were(name, tmp_path):
    stages = plan_experiment(load_experiment(f"lexirec:{name}.toml", SMALL), Store(tmp_path))
    assert {stage.name: stage.key[:12] for stage in stages} == GOLDEN[name]


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", ["old-gram", "old-tsrec"])
def test_a_store_of_an_earlier_version_has_everything_already(old, name):
    kept = ["baselines={}", 'baselines.memory={kind="memory"}', 'baselines.transitions={kind="transitions"}']
    stages = plan_experiment(load_experiment(old / f"{name}.toml", kept), Store(old / "store"))
    assert {stage.name: stage.state for stage in stages} == dict.fromkeys((stage.name for stage in stages), "done")


@pytest.mark.parametrize("name", ["old-gram", "old-tsrec"])
def test_recommenders_of_an_earlier_version_answer_as_they_did(old, name):
    answers = json.loads((old / "answers.json").read_text("utf-8"))
    histories = Sequences.from_lists([[0, 5, 9], [83, 40], [7], [], list(range(20, 50))])
    parts = recommenders(find_run(Store(old / "store"), name))
    assert {f"{name}/{part}" for part in parts} == {key.rpartition("/")[0] for key in answers if key.startswith(name)}
    for part, stage in parts.items():
        recommender = load_recommender(stage.folder)
        for seen in ("excluded", "kept"):
            ranking = recommender.rank(histories, k=8, exclude_seen=seen == "excluded")
            expected = answers[f"{name}/{part}/{seen}"]
            assert ranking.items.tolist() == expected["items"], (part, seen)
            np.testing.assert_allclose(ranking.scores, np.array(expected["scores"]), rtol=2e-5, atol=1e-6)

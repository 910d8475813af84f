"""Experiments whose backbone has a pretrained encoder: keys, stages, and the catalogue afterwards."""

import shutil

import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.runs import find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.models.extension.artifacts import artifacts_of
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.extension.extend import extend
from lexirec.models.loading import load_recommender
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from tests.worlds.backbones import without_tokenizer
from tests.worlds.encoders import save_encoder
from tests.worlds.grown_shop import new_rows
from tests.worlds.small_run import SETTINGS

BACKBONE = {"name": "scratch:tiny", "d_model": 16, "heads": 2, "vocabulary_size": 300}
PROMPTS = {"similar_items": 1, "similar_tokens": 6, "identifier_tokens": 6, "metadata_tokens": 12}
NETWORK = {"head": "grounded", "user_prompt": "grounded", "neighbor_rows": 2}
MODEL = {"network": NETWORK, "prompts": PROMPTS, "training": {"epochs": 1, "batch_targets": 100}}
HISTORIES = Sequences.from_lists([[0, 5, 9], [40, 3], [7], []])


def experiment(encoder, **changes) -> Experiment:
    backbone = BACKBONE | ({"encoder": encoder} if encoder else {})
    tables = {"baselines": {}, "neighbors": {"kind": "memory", "k": 5}, "backbone": backbone, "model": MODEL}
    return validate_settings({**SETTINGS, **tables, **changes}, Experiment)


def keys(tried: Experiment, store) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan_experiment(tried, Store(store))}


def test_the_content_of_the_encoder_is_in_the_keys_and_its_training_in_that_of_the_model(tmp_path):
    name = save_encoder(tmp_path / "encoder")
    none, full = keys(experiment(None), tmp_path), keys(experiment({"name": name}), tmp_path)
    frozen = keys(experiment({"name": name, "training": "frozen"}), tmp_path)
    later = {"tokenizer", "lexicon", "identifiers", "model", "evaluation.model", "report"}
    assert {stage for stage in none if none[stage] != full[stage]} == later
    assert {stage for stage in full if full[stage] != frozen[stage]} == {"model", "evaluation.model", "report"}
    shutil.rmtree(name)
    save_encoder(tmp_path / "encoder", num_hidden_layers=1)
    other = keys(experiment({"name": name}), tmp_path)
    assert {stage for stage in full if full[stage] != other[stage]} == later


def test_what_the_encoder_lacks_is_said_before_anything_is_computed(tmp_path):
    name = save_encoder(tmp_path / "encoder")
    (tmp_path / "encoder" / "model.safetensors").unlink()
    with pytest.raises(SettingsError, match="the folder holds no weights"):
        plan_experiment(experiment({"name": name}), Store(tmp_path / "store"))
    without_tokenizer(tmp_path / "encoder")
    with pytest.raises(SettingsError, match="the folder holds no tokenizer"):
        plan_experiment(experiment({"name": name}), Store(tmp_path / "store"))


def test_an_encoder_is_not_pretrained_on_the_catalogue(tmp_path):
    with pytest.raises(SettingsError, match=r"'pretraining' trains a T5's own encoder.* drop one of them"):
        experiment({"name": "bert-base-uncased"}, pretraining={"epochs": 1})


@pytest.mark.long
def test_an_experiment_runs_and_its_catalogue_grows_without_the_encoders_folder(tmp_path):
    name = save_encoder(tmp_path / "encoder")
    store = Store(tmp_path / "store")
    run_experiment(experiment({"name": name, "training": "frozen"}), store)
    shutil.rmtree(name)
    folder = recommenders(find_run(store, "small"))["model"].folder
    before, artifacts = load_recommender(folder), artifacts_of(store, folder)
    assert not list(folder.rglob("states.bin"))  # states of the training are not kept with the result
    rows = new_rows(before.catalog, [3, 12, 40])
    after = extend(before, ItemChanges(rows), artifacts).recommender
    old = np.arange(len(after.catalog)) < len(before.catalog)
    expected, found = before.rank(HISTORIES, k=12), after.rank(HISTORIES, k=12, allowed=old)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=2e-5)
    everything = after.rank(HISTORIES, k=len(after.catalog)).items
    assert {*everything[0].tolist()} == {*range(len(after.catalog))}
    after.save(tmp_path / "grown")
    again = load_recommender(tmp_path / "grown").rank(HISTORIES, k=20)
    np.testing.assert_array_equal(again.items, after.rank(HISTORIES, k=20).items)

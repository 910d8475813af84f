import json

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError
from lexirec.core.progress import quiet
from lexirec.data.splits import prefix_cases
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.settings import GramSettings, GramTrainingSettings, PromptSettings
from lexirec.nn.t5 import BackboneSettings
from lexirec.pipeline.components import ToyShop
from lexirec.pipeline.stages.data import load_catalog, load_split, prepare_data
from lexirec.semantic_ids.codes import Codes
from lexirec.workflows.studies.cost import Costs, CostSettings, load_cost


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Folders of a small shop's data, an untrained late-fusion recommender and a fitted scorer."""
    folder = tmp_path_factory.mktemp("cost")
    for name in ("data", "model", "scorer"):
        (folder / name).mkdir()
    prepare_data(ToyShop(products=84, shoppers=30, text=("title",)), {}, folder / "data")
    catalog, train = load_catalog(folder / "data"), load_split(folder / "data").train
    codes = Codes(np.stack([np.arange(84) // 12, np.arange(84) % 12], axis=1).astype(np.int32))
    tiny = BackboneSettings(name="scratch:tiny", d_model=16, heads=2, feed_forward=32, vocabulary_size=200)
    prompts = PromptSettings(parts=("item", "metadata"), metadata_tokens=8)
    settings = GramSettings(prompts=prompts, training=GramTrainingSettings(batch_targets=40))
    with quiet():
        GramRecommender.create(tiny, catalog, codes, settings=settings).save(folder / "model")
    ScoreRecommender(catalog, Popularity().fit(train, len(catalog))).save(folder / "scorer")
    return folder


def costs_of(shop, name) -> Costs:
    return Costs(str(shop / name), str(shop / "data"), CostSettings(users=2, steps=1).model_dump())


def test_a_network_costs_time_operations_and_bytes(shop):
    with quiet():
        costs = costs_of(shop, "model")
        size, decoding, training = costs.size(), costs.decoding(), costs.training()
    assert size["bytes"] >= 4 * size["parameters"] > 0
    assert decoding["operations_per_user"] > 1e4
    assert decoding["seconds_per_user_alone"] > 0
    assert training["operations_per_step"] > decoding["operations_per_user"]
    assert training["operations_per_epoch"] == pytest.approx(
        training["steps_per_epoch"] * training["operations_per_step"]
    )
    assert training["state_bytes"] == 16 * size["parameters"], "weights, gradients, two moments"
    targets = len(prefix_cases(costs._split.train).targets)
    assert training["targets_per_step"] * training["steps_per_epoch"] == pytest.approx(targets)


def test_a_scorer_has_no_training_steps(shop):
    with quiet():
        costs = costs_of(shop, "scorer")
        assert costs.size() == costs.training() == {}
        decoding = costs.decoding()
    assert "operations_per_user" not in decoding, "what is computed outside of PyTorch is not counted"
    assert np.isfinite(list(decoding.values())).all()


def test_figures_are_read_flat(tmp_path):
    (tmp_path / "cost.json").write_text(json.dumps({"size": {"parameters": 3}, "training": {"seconds_per_step": 0.5}}))
    assert load_cost(tmp_path) == {"size parameters": 3.0, "training seconds per step": 0.5}
    with pytest.raises(ArtifactError, match="run the study again"):
        load_cost(tmp_path / "nowhere")

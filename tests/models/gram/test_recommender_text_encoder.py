"""GRAM whose prompts of words are read by a pretrained encoder."""

import shutil
import tempfile

import numpy as np
import pytest
import torch

from lexirec.core.errors import SettingsError
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.models.gram.stored_states import StoredStates, encoded, extend_states, write_states
from lexirec.models.hub_layout import to_hub_layout
from lexirec.models.loading import load_recommender
from lexirec.testing import RecommenderContract
from tests.models.gram.test_kept_states import GROUNDED, built
from tests.models.gram.test_recommender import ITEMS, PAPER, TRAIN, histories
from tests.worlds.encoders import save_encoder

SHORT_PAPER = PAPER.model_copy(update={"prompts": PAPER.prompts.model_copy(update={"max_length": 32})})


class TestFrozen(RecommenderContract):
    @classmethod
    def make(cls):
        return fitted("frozen", GROUNDED)


class TestTrained(RecommenderContract):
    @classmethod
    def make(cls):
        return fitted("full", SHORT_PAPER)


def fitted(training: str, settings: GramSettings) -> GramRecommender:
    with tempfile.TemporaryDirectory() as folder:
        return built(save_encoder(folder), training, settings).fit(TRAIN)


@pytest.mark.parametrize(("training", "settings"), [("frozen", GROUNDED), ("full", SHORT_PAPER)])
def test_a_saved_folder_holds_the_encoder(training, settings, tmp_path):
    name = save_encoder(tmp_path / "encoder")
    made = built(name, training, settings).fit(TRAIN)
    made.save(tmp_path / "saved")
    shutil.rmtree(name)
    loaded = load_recommender(tmp_path / "saved")
    shutil.copytree(tmp_path / "saved", tmp_path / "hub")
    to_hub_layout(tmp_path / "hub")
    one, *others = (
        recommender.rank(histories(), k=9) for recommender in (made, loaded, load_recommender(tmp_path / "hub"))
    )
    for other in others:
        assert np.array_equal(one.items, other.items)
        assert np.array_equal(one.scores, other.scores)
    assert loaded.model.text_encoder.settings == made.model.text_encoder.settings
    before = loaded.model.text_encoder.projection.weight.clone()
    loaded.fit(TRAIN)
    assert not torch.equal(loaded.model.text_encoder.projection.weight.cpu(), before)


def test_the_encoder_reads_the_item_prompts(tmp_path):
    made = built(save_encoder(tmp_path / "encoder"))
    before = made.rank(histories(), k=5).scores
    with torch.no_grad():
        made.model.text_encoder.model.encoder.layer[1].output.dense.weight.mul_(-3)
    made._searcher = None
    after = made.rank(histories(), k=5).scores
    assert not np.allclose(before[1:], after[1:])
    assert np.allclose(before[0], after[0])  # a newcomer has no prompts


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": {"metadata_tokens": 60, "similar_tokens": 60}}, "lower prompts.metadata_tokens, similar_tokens"),
        ({"network": {"user_prompt": "identifiers"}}, r"up to 256 tokens.* at most 11; lower prompts\.user_max_length"),
    ],
)
def test_prompts_that_do_not_fit_are_refused_when_the_model_is_built(settings, message, tmp_path):
    name = save_encoder(tmp_path, max_position_embeddings=12)
    network = {"item_prompts": "prompts" in settings, "user_prompt": "none"} | settings.get("network", {})
    wanted = GramSettings.model_validate({**settings, "network": network})
    with pytest.raises(SettingsError, match=message) as caught:
        built(name, "full", wanted)
    assert "\n" not in str(caught.value)


def test_stored_encodings_serve_as_computed_ones(tmp_path):
    made = built(save_encoder(tmp_path / "encoder"))
    expected = made.rank(histories(), k=9)
    write_states(encoded(made.model), tmp_path / "0")
    sources = np.arange(ITEMS, dtype=np.int64)
    sources[4:6] = -1
    extend_states(tmp_path / "0", sources, made.model, tmp_path / "1")
    assert StoredStates(tmp_path / "1").files == 2
    for folder in ("0", "1"):
        made.read_states(tmp_path / folder)
        found = made.rank(histories(), k=9)
        assert np.array_equal(found.items, expected.items)
        assert np.allclose(found.scores, expected.scores, atol=1e-5)

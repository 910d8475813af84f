import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import prefix_cases
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramNetworkSettings, GramSettings, GramTrainingSettings, PromptSettings
from lexirec.models.loading import load_recommender
from lexirec.nn.search import SearchSettings
from lexirec.nn.t5 import Backbone, BackboneSettings, load_backbone, save_backbone
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.testing import RecommenderContract, circle_walks, tiny_catalog
from tests.worlds.backbones import save, without_tokenizer
from tests.worlds.distillation import check_copies
from tests.worlds.tables import random_identifiers

ITEMS = 20
CATALOG = tiny_catalog(ITEMS)
TRAIN = circle_walks(ITEMS, shoppers=60)
TINY = BackboneSettings(name="scratch:tiny", d_model=16, heads=2, feed_forward=32, vocabulary_size=128)
BRIEF = GramTrainingSettings(epochs=2, batch_targets=60, learning_rate=1e-2)
VECTORS = np.random.default_rng(2).normal(size=(ITEMS, 6)).astype(np.float32)
ROUND = np.arange(ITEMS, dtype=np.int32)
NEIGHBORS = Neighbors(np.stack([(ROUND + 1) % ITEMS, (ROUND - 1) % ITEMS], axis=1), np.ones((ITEMS, 2), np.float32))
GROUNDED = GramSettings(
    network=GramNetworkSettings(
        head="grounded", user_prompt="grounded", item_prompts=False, max_history=5, neighbor_rows=1
    ),
    training=BRIEF,
    search=SearchSettings(num_beams=30),
)
PAPER = GramSettings(
    network=GramNetworkSettings(likelihood="vocabulary", max_history=4),
    prompts=PromptSettings(layout="paper", max_length=32),
    training=BRIEF,
    search=SearchSettings(num_beams=40, length_penalty=1.0),
)
WORDY = GramSettings(network=GramNetworkSettings(user_prompt="none", max_history=3), training=BRIEF)


def identifiers() -> Identifiers:
    """Identifiers of unequal length, in pieces that no tokenizer has yet."""
    rows = random_identifiers(np.random.default_rng(0), items=200, vocabulary=5, longest=4)[:ITEMS]
    return Identifiers(rows.astype(np.int32), tuple(f"<{letter}>" for letter in "abcde"))


def built(settings: GramSettings, *, fresh: int = 0) -> GramRecommender:
    language = load_backbone(TINY, texts=CATALOG.texts(), seed=fresh)
    return GramRecommender.build(CATALOG, language, GramInputs(identifiers(), NEIGHBORS, VECTORS), settings)


@pytest.mark.parametrize("number", [-1, ITEMS])
def test_the_searcher_refuses_numbers_of_no_item(number):
    searcher, histories = built(GROUNDED).searcher, Sequences.from_lists([[0, number]])
    for use in (lambda: searcher.rank(histories, 3), lambda: searcher.log_probabilities(histories)):
        with pytest.raises(DataError, match=f"holds item number {number}"):
            use()


class TestGrounded(RecommenderContract):
    @classmethod
    def make(cls):
        validation = prefix_cases(circle_walks(ITEMS, shoppers=8, seed=1), 5)
        return built(GROUNDED).fit(TRAIN, validation=validation)

    def test_it_knows_what_comes_next(self):
        histories = Sequences.from_lists([[i, (i + 1) % ITEMS, (i + 2) % ITEMS] for i in range(ITEMS)])
        found = self.recommender().rank(histories, k=3).items
        assert np.mean([(i + 3) % ITEMS in found[i] for i in range(ITEMS)]) > 0.5
        assert len(self.recommender().curve) > 3


class TestPaper(RecommenderContract):
    @classmethod
    def make(cls):
        return built(PAPER).fit(TRAIN)


class TestItemPromptsAlone(RecommenderContract):
    """Without a user prompt a newcomer has nothing at all that could be read."""

    @classmethod
    def make(cls):
        return built(WORDY)


def histories() -> Sequences:
    return Sequences.from_lists([[], [3], [1, 2, 3, 4, 5, 6, 7], [9, 9]])


def test_everything_is_made_from_codes_alone():
    codes = Codes(np.stack([ROUND % 2, ROUND // 2 % 5], axis=1).astype(np.int32), "tree")
    made = GramRecommender.create(TINY, CATALOG, codes)
    assert len(made.identifiers) == ITEMS
    assert made.census is not None
    found = made.rank(histories(), k=ITEMS)
    assert np.array_equal(np.sort(found.items, axis=1), np.tile(np.arange(ITEMS), (4, 1)))
    probabilities = np.exp(found.scores).sum(axis=1)
    assert np.allclose(probabilities, 1, atol=1e-4)


def test_the_same_seed_makes_the_same_model():
    one, two = built(PAPER), built(PAPER)
    other = built(PAPER.model_copy(update={"seed": 1}))
    states = [made.model.state_dict() for made in (one, two, other)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["positions.weight"], states[2]["positions.weight"])


@pytest.mark.parametrize("settings", [GROUNDED, PAPER, WORDY], ids=["grounded", "paper", "wordy"])
def test_a_saved_folder_holds_everything(tmp_path, settings):
    made = built(settings)
    made.save(tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    assert isinstance(loaded, GramRecommender)
    assert loaded.settings == settings
    assert loaded.protocol == made.protocol
    one, two = (recommender.rank(histories(), k=9, exclude_seen=True) for recommender in (made, loaded))
    assert np.array_equal(one.items, two.items)
    assert np.array_equal(one.scores, two.scores)
    loaded.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "recommender.json").read_text())["kind"] == "late-fusion"
    names = [
        sorted(str(file.relative_to(tmp_path / part)) for file in (tmp_path / part).rglob("*"))
        for part in ("saved", "again")
    ]
    assert names[0] == names[1]


def test_a_loaded_recommender_can_be_trained_on(tmp_path):
    built(GROUNDED).save(tmp_path)
    loaded = GramRecommender.load(tmp_path)
    before = loaded.rank(histories(), k=5)
    loaded.fit(TRAIN)
    assert not np.allclose(loaded.rank(histories(), k=5).scores, before.scores)


def cut(file):
    file.write_bytes(file.read_bytes()[:40])


DAMAGE = {
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "weights cut": lambda folder: cut(folder / "model.safetensors"),
    "prompts cut": lambda folder: cut(folder / "prompts.safetensors"),
    "prompts gone": lambda folder: (folder / "prompts.safetensors").unlink(),
    "settings cut": lambda folder: cut(folder / "settings.json"),
    "settings gone": lambda folder: (folder / "settings.json").unlink(),
    "identifiers gone": lambda folder: (folder / "identifiers" / "identifiers.parquet").unlink(),
    "identifiers cut": lambda folder: cut(folder / "identifiers" / "identifiers.parquet"),
    "configuration cut": lambda folder: cut(folder / "backbone" / "config.json"),
    "configuration gone": lambda folder: (folder / "backbone" / "config.json").unlink(),
    "tokenizer cut": lambda folder: cut(folder / "backbone" / "tokenizer.json"),
    "manifest cut": lambda folder: cut(folder / "recommender.json"),
    "manifest gone": lambda folder: (folder / "recommender.json").unlink(),
    "catalog gone": lambda folder: [file.unlink() for file in (folder / "catalog").iterdir()],
    "weights of another": lambda folder: save_file({"x": torch.ones(1)}, folder / "model.safetensors"),
    "other sizes": lambda folder: save_file(
        {**load_file(folder / "model.safetensors"), "positions.weight": torch.ones(2, 3)}, folder / "model.safetensors"
    ),
    "other prompts": lambda folder: save_file({"x": torch.ones(1)}, folder / "prompts.safetensors"),
    "setting unknown": lambda folder: (folder / "settings.json").write_text('{"colour": "red"}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, damage):
    built(GROUNDED).save(tmp_path)
    DAMAGE[damage](tmp_path)
    with pytest.raises(ArtifactError) as refusal:
        load_recommender(tmp_path)
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_backbone_of_a_local_folder_is_taken_by_its_path(tmp_path):
    """Here one of T5 version 1.1, whose output layer is its own and stays so when identifiers add pieces."""
    tied = load_backbone(TINY, texts=CATALOG.texts())
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(
        vocab_size=len(tied.tokenizer),
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        **sizes,
    )
    model = T5ForConditionalGeneration(config).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight))
    save_backbone(Backbone(model, tied.tokenizer), tmp_path / "t5")
    made = GramRecommender.build(
        CATALOG, load_backbone(str(tmp_path / "t5")), GramInputs(identifiers(), NEIGHBORS), PAPER
    )
    used = made.model.backbone
    assert not used.config.scale_decoder_outputs
    assert len(used.lm_head.weight) > len(model.lm_head.weight)
    assert torch.equal(used.lm_head.weight[: len(tied.tokenizer)], model.lm_head.weight)
    assert torch.equal(used.shared.weight[: len(tied.tokenizer)], model.shared.weight)
    made.fit(TRAIN.take(range(10)), training=BRIEF.model_copy(update={"epochs": 1}))
    made.save(tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    assert not loaded.model.backbone.config.scale_decoder_outputs
    one, two = (part.rank(histories(), k=5) for part in (made, loaded))
    assert np.array_equal(one.items, two.items)
    assert np.array_equal(one.scores, two.scores)
    codes = Codes(np.stack([ROUND % 2, ROUND // 2 % 5], axis=1).astype(np.int32), "tree")
    by_path = GramRecommender.create(str(tmp_path / "t5"), CATALOG, codes)
    assert by_path.rank(histories(), k=3).items.min() >= 0


def test_what_is_not_of_this_catalogue_is_refused():
    language = load_backbone(TINY, texts=CATALOG.texts())
    few = Identifiers(identifiers().tokens[:5], identifiers().pieces)
    wrong = {
        r"identifiers are given for 5 items, the catalog has 20": GramInputs(few),
        r"vectors are given for 3 items": GramInputs(identifiers(), None, VECTORS[:3]),
        r"neighbors are given for 7 items": GramInputs(
            identifiers(), Neighbors(NEIGHBORS.items[:7], NEIGHBORS.scores[:7])
        ),
    }
    for message, knowledge in wrong.items():
        with pytest.raises(DataError, match=message):
            GramRecommender.build(CATALOG, language, knowledge, GROUNDED)


def test_cut_user_prompts_are_counted():
    tight = GramSettings(network=GramNetworkSettings(max_history=6), prompts=PromptSettings(user_max_length=16))
    census = built(tight).user_census(histories())
    assert census is not None
    assert census.prompts == 4
    assert census.cut >= 1
    assert census.warning is not None
    assert built(GROUNDED).user_census(histories()) is None


def test_new_tokens_start_as_far_apart_as_is_asked():
    near, far = (built(PAPER.model_copy(update={"token_spread": spread})) for spread in (0.1, 1.0))
    tables = [made.model.backbone.get_input_embeddings().weight[-5:] for made in (near, far)]
    assert (tables[1].std(0).mean() / tables[0].std(0).mean()).item() == pytest.approx(10, rel=1e-3)


def test_training_changes_what_is_ranked_afterwards():
    """What a search shares (rows, encodings) is made anew after training."""
    made = built(WORDY)
    before = made.rank(histories(), k=4)
    made.fit(TRAIN, training=BRIEF.model_copy(update={"epochs": 1}))
    after = made.rank(histories(), k=4)
    assert not np.allclose(before.scores, after.scores)
    assert [row["step"] for row in made.curve]


def test_a_folder_keeps_training_that_was_broken_off(tmp_path):
    """The second call finds a finished run there and takes its weights."""
    one, two = built(GROUNDED), built(GROUNDED, fresh=5)
    for made in (one, two):
        made.fit(TRAIN, folder=tmp_path / "training")
    assert one.curve == two.curve
    assert np.array_equal(one.rank(histories(), k=6).scores, two.rank(histories(), k=6).scores)


def test_copies_of_the_model_teach_it_and_are_trained_once(tmp_path, monkeypatch):
    check_copies(
        lambda: built(GROUNDED),
        BRIEF,
        (TRAIN, prefix_cases(circle_walks(ITEMS, shoppers=8, seed=1), 5)),
        tmp_path,
        monkeypatch,
    )


@pytest.mark.parametrize("layout", ["budgets", "paper"])
def test_a_t5_whose_tokenizer_has_no_padding_token_is_trained_and_used(layout, tmp_path):
    codes = Codes(np.stack([ROUND % 4, ROUND // 4], axis=1), "tree")
    prompts = PromptSettings(parts=("item", "metadata"), layout=layout)
    settings = GramSettings(prompts=prompts, training=BRIEF.model_copy(update={"epochs": 1}))
    recommender = GramRecommender.create(save(tmp_path / "t5", "t5"), CATALOG, codes, settings=settings)
    recommender.fit(TRAIN).save(tmp_path / "saved")
    histories = Sequences.from_lists([[1, 2, 3], [], [5] * 9])
    ranked = load_recommender(tmp_path / "saved").rank(histories, k=5)
    assert (ranked.items >= 0).all()
    assert np.array_equal(ranked.items, recommender.rank(histories, k=5).items)
    assert not np.allclose(ranked.scores[0], ranked.scores[2], atol=1e-6)


def test_a_t5_without_a_tokenizer_is_refused(tmp_path):
    name = save(tmp_path / "t5", "t5")
    without_tokenizer(tmp_path / "t5")
    codes = Codes(np.stack([ROUND % 4, ROUND // 4], axis=1), "tree")
    with pytest.raises(SettingsError, match="the folder holds no tokenizer"):
        GramRecommender.create(name, CATALOG, codes)

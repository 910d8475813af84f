import json

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError, LexirecError, SettingsError
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import prefix_cases
from lexirec.evaluation.evaluator import evaluate
from lexirec.models.distillation_teacher import DistillationSettings, DistillationTeacher
from lexirec.models.loading import load_recommender
from lexirec.models.tsrec.keywords import token_words
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.settings import (
    GrpoSettings,
    ReinforcementSettings,
    RewardSettings,
    SaInitSettings,
    SftSettings,
    TaskSettings,
    TSRecNetworkSettings,
    TSRecPromptSettings,
    TSRecSettings,
)
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.search import SearchSettings
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.lexicon.lexicon import tfidf_lexicon
from lexirec.testing import RecommenderContract, circle_walks, tiny_catalog
from tests.worlds.backbones import POSITIONS, save
from tests.worlds.distillation import check_copies

ITEMS = 20
CATALOG = tiny_catalog(ITEMS)
TRAIN = circle_walks(ITEMS, shoppers=60)
VALIDATION = prefix_cases(circle_walks(ITEMS, shoppers=8, seed=1), 5)
TINY = CausalBackboneSettings(name="scratch:tiny", d_model=16, heads=2, feed_forward=32, vocabulary_size=160)
NUMBER = np.arange(ITEMS, dtype=np.int32)
CODES = Codes(np.stack([NUMBER % 4, NUMBER // 4], axis=1), "residual")
LEXICON = tfidf_lexicon(CATALOG.texts(), CODES)
VECTORS = np.random.default_rng(2).normal(size=(ITEMS, 6)).astype(np.float32)
NEIGHBORS = Neighbors(np.stack([(NUMBER + 1) % ITEMS, (NUMBER - 1) % ITEMS], axis=1), np.ones((ITEMS, 2), np.float32))
BRIEF = SftSettings(epochs=3, batch_size=32, learning_rate=1e-2, evals_per_epoch=1)
PLAIN = TSRecSettings(
    prompts=TSRecPromptSettings(frame="plain", max_history=5),
    tasks=TaskSettings(sid_title=0, history_title=0, ts_align=0),
    training=BRIEF,
    search=SearchSettings(num_beams=30),
)
TS_REC = PLAIN.model_copy(
    update={"sa_init": SaInitSettings(), "tasks": TaskSettings(sid_title=0, history_title=0, ts_align=1)}
)
GROUNDED = PLAIN.model_copy(
    update={
        "network": TSRecNetworkSettings(head="grounded", embeddings="grounded", neighbor_features=1, neighbor_rows=1)
    }
)


def built(settings: TSRecSettings, *, fresh: int = 0, **known) -> TSRecRecommender:
    backbone = load_causal(TINY, texts=CATALOG.texts(), seed=fresh)
    given = {"words": token_words(LEXICON, CODES), "neighbors": NEIGHBORS, "vectors": VECTORS, **known}
    return TSRecRecommender.build(CATALOG, backbone, TSRecInputs(codes_as_tokens(CODES), **given), settings)


class TestTsRec(RecommenderContract):
    @classmethod
    def make(cls):
        return built(TS_REC).fit(TRAIN, validation=VALIDATION)

    def test_it_knows_what_comes_next(self):
        assert evaluate(self.recommender(), VALIDATION, ks=(3,)).metrics["recall@3"] > 0.5  # by chance 0.15

    def test_it_was_asked_about_items_and_tokens(self):
        assert self.recommender().example_counts["ts_align"] > 0
        assert self.recommender().sa_init_report["tokens"] == 4 + 5


class TestGrounded(RecommenderContract):
    @classmethod
    def make(cls):
        return built(GROUNDED).fit(TRAIN, validation=VALIDATION)


@pytest.mark.parametrize("settings", [TS_REC, GROUNDED], ids=["ts-rec", "grounded"])
def test_a_saved_folder_holds_everything(tmp_path, settings):
    semantic_ids = np.minimum(CODES.values, 2)
    made = built(settings, semantic_ids=semantic_ids)
    made.save(tmp_path)
    loaded = load_recommender(tmp_path)
    assert isinstance(loaded, TSRecRecommender)
    before, after = (each.rank(VALIDATION.histories, k=5) for each in (made, loaded))
    assert np.array_equal(before.items, after.items)
    assert np.allclose(before.scores, after.scores, atol=1e-6)
    assert list(loaded.words) == list(made.words)
    assert np.array_equal(loaded.semantic_ids, semantic_ids)


def test_figures_per_semantic_id_count_items_that_share_one():
    made = built(PLAIN, semantic_ids=np.zeros((ITEMS, 1), dtype=np.int32))
    report = evaluate(made, VALIDATION, ks=(1,))
    assert report.identifier_metrics["recall@1"] == 1.0
    assert report.metrics["recall@1"] < 1.0


def test_it_is_made_from_codes_and_a_lexicon():
    made = TSRecRecommender.create(TINY, CATALOG, CODES, LEXICON, TS_REC)
    assert made.sa_init_report is not None
    assert len(made.recommend(["item-3"], k=4)) == 4


@pytest.mark.parametrize(("settings", "soft_targets"), [(GROUNDED, True), (TS_REC, False)], ids=["grounded", "ts-rec"])
def test_every_item_is_rehearsed_beside_what_was_bought(monkeypatch, settings, soft_targets):
    """Rehearsed rows are numbered after training rows; heads without a distribution over items are told none."""
    seen = []
    real = DistillationTeacher.soft_targets
    monkeypatch.setattr(DistillationTeacher, "soft_targets", lambda *given: seen.append(given[2].max()) or real(*given))
    training = BRIEF.model_copy(update={"epochs": 1, "distillation": DistillationSettings(rehearsal=2)})
    made = built(settings).fit(TRAIN, training=training)
    assert made.example_counts["rehearsal"] == 2 * ITEMS
    assert bool(seen) == soft_targets
    assert max(seen, default=len(TRAIN)) in range(len(TRAIN), len(TRAIN) + 2 * ITEMS)


def test_new_tokens_start_as_far_apart_as_is_asked():
    near, far = (built(PLAIN.model_copy(update={"token_spread": spread})) for spread in (0.1, 1.0))
    pieces = near.identifiers.new_pieces(load_causal(TINY, texts=CATALOG.texts()).tokenizer)
    numbers = near.backbone.tokenizer.convert_tokens_to_ids(list(pieces))
    widths = [made.backbone.model.get_input_embeddings().weight[numbers].std(0).mean() for made in (near, far)]
    assert (widths[1] / widths[0]).item() == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("rewards", [RewardSettings(), RewardSettings(token_semantic=1, semantic=1, collaborative=1)])
def test_reinforcing_never_ends_below_where_it_began(rewards):
    made = built(TS_REC).fit(TRAIN, validation=VALIDATION, training=BRIEF.model_copy(update={"epochs": 1}))
    before = evaluate(made, VALIDATION, ks=(10,)).metrics["ndcg@10"]
    training = GrpoSettings(learning_rate=3e-3, cases=64, group=4, batch_size=16, evals_per_epoch=2)
    made.reinforce(
        TRAIN,
        ReinforcementSettings(training=training, rewards=rewards, scorer="any"),
        validation=VALIDATION,
        vectors=VECTORS,
        scorer=lambda histories: np.ones((len(histories), ITEMS), dtype=np.float32),
    )
    assert any("reward" in row for row in made.curve)
    assert evaluate(made, VALIDATION, ks=(10,)).metrics["ndcg@10"] >= before - 1e-9


@pytest.mark.parametrize(
    ("settings", "known", "kind", "message"),
    [
        (TS_REC, {"words": ()}, SettingsError, "no lexicon that describes the tokens"),
        (PLAIN, {"vectors": VECTORS[:7]}, DataError, "vectors are given for 7 items, the catalog has 20"),
        (PLAIN, {"semantic_ids": CODES.values[:3]}, DataError, "semantic IDs are given for 3 items"),
    ],
)
def test_what_does_not_fit_is_said(settings, known, kind, message):
    with pytest.raises(kind, match=message) as caught:
        built(settings, **known)
    assert isinstance(caught.value, LexirecError)
    assert "\n" not in str(caught.value)


def test_tokens_without_words_cannot_pay():
    with pytest.raises(SettingsError, match="token_semantic needs a lexicon"):
        built(PLAIN, words=()).reinforce(TRAIN, ReinforcementSettings(rewards=RewardSettings(token_semantic=1)))


@pytest.mark.parametrize("file", ["settings.json", "words.json", "model.safetensors", "backbone/config.json"])
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, file):
    built(PLAIN).save(tmp_path)
    (tmp_path / file).write_bytes(b"{")
    with pytest.raises(ArtifactError, match="save it again"):
        TSRecRecommender.load(tmp_path)


def test_the_card_tells_the_settings():
    card = built(PLAIN).protocol
    assert card["recommender"] == "causal"
    assert json.dumps(card)


def test_copies_of_the_model_teach_it_and_are_trained_once(tmp_path, monkeypatch):
    check_copies(lambda: built(GROUNDED), BRIEF, (TRAIN, VALIDATION), tmp_path, monkeypatch)


def test_a_backbone_with_few_positions_is_trained_and_used_within_them(tmp_path, caplog):
    settings = PLAIN.model_copy(
        update={
            "prompts": TSRecPromptSettings(frame="plain", max_history=50),
            "tasks": TaskSettings(sid_title=1, history_title=1, ts_align=0),
            "training": BRIEF.model_copy(update={"epochs": 1}),
        }
    )
    recommender = TSRecRecommender.create(save(tmp_path / "gpt2", "gpt2"), CATALOG, CODES, settings=settings)
    assert f"the backbone has {POSITIONS} positions, answer included" in caplog.text
    walks = Sequences.from_lists([list(range(20)) * 3, [], [4]])
    long = Sequences.concatenate([TRAIN, walks])
    assert POSITIONS - 4 < int(recommender.builder.next_item(walks).lengths.max()) <= POSITIONS - 2
    recommender.fit(long, validation=VALIDATION)
    training = GrpoSettings(epochs=1, batch_size=16, group=4, cases=16)
    recommender.reinforce(long, ReinforcementSettings(training=training), validation=VALIDATION)
    recommender.save(tmp_path / "saved")
    ranked = load_recommender(tmp_path / "saved").rank(walks, k=5)
    assert (ranked.items >= 0).all()
    assert np.array_equal(ranked.items, recommender.rank(walks, k=5).items)

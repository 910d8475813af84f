import numpy as np
import pytest
import torch

from lexirec.core.errors import DataError
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.transfer import transfer_to, unseen_tokens
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.testing import circle_walks, tiny_catalog
from tests.models.tsrec.test_recommender import (
    CATALOG,
    CODES,
    GROUNDED,
    NEIGHBORS,
    PLAIN,
    TRAIN,
    TS_REC,
    VALIDATION,
    VECTORS,
    built,
)

OTHERS = 30
OTHER_CATALOG = tiny_catalog(OTHERS)
NUMBER = np.arange(OTHERS, dtype=np.int32)
OTHER_CODES = Codes(np.stack([NUMBER % 5, NUMBER // 5], axis=1), "residual")  # <a_4> and <b_5> are new
OTHER_VECTORS = np.random.default_rng(3).normal(size=(OTHERS, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def grounded() -> TSRecRecommender:
    return built(GROUNDED).fit(TRAIN)


def others(**known) -> TSRecInputs:
    return TSRecInputs(codes_as_tokens(OTHER_CODES), vectors=OTHER_VECTORS, **known)


def test_carried_to_its_own_catalog_a_model_says_the_same():
    made = built(TS_REC).fit(TRAIN)
    again = transfer_to(made, CATALOG, TSRecInputs(codes_as_tokens(CODES)))
    before, after = (each.rank(VALIDATION.histories, k=20) for each in (made, again))
    assert np.array_equal(before.items, after.items)
    assert np.allclose(before.scores, after.scores, atol=1e-5)
    assert list(again.words) == list(made.words)
    assert again.settings == made.settings


def test_a_grounded_head_goes_along_without_what_it_learned_of_single_items(grounded):
    same = TSRecInputs(codes_as_tokens(CODES), neighbors=NEIGHBORS, vectors=VECTORS)
    again = transfer_to(grounded, CATALOG, same)
    assert grounded.model.items.identity.weight.abs().max() > 0
    assert not again.model.items.identity.weight.any()
    forgetful = built(GROUNDED)
    forgetful.model.load_state_dict(grounded.model.state_dict())
    torch.nn.init.zeros_(forgetful.model.items.identity.weight)
    lists = [each.rank(VALIDATION.histories, k=20) for each in (forgetful, again)]
    assert np.allclose(lists[0].scores, lists[1].scores, atol=1e-5)
    assert np.array_equal(lists[0].items, lists[1].items)


def test_tokens_it_never_used_are_added_and_all_others_stay(grounded):
    before = grounded.rank(VALIDATION.histories, k=5)
    tokens = len(grounded.backbone.tokenizer)
    assert unseen_tokens(grounded, codes_as_tokens(OTHER_CODES)) == ["<a_4>", "<b_5>"]
    made = transfer_to(grounded, OTHER_CATALOG, others())
    old, new = (each.backbone.model.get_input_embeddings().weight for each in (grounded, made))
    assert len(made.backbone.tokenizer) == tokens + 2
    assert torch.equal(new[:tokens], old[:tokens])
    assert new[tokens:].abs().sum() > 0
    assert len(made.recommend(["item-3"], k=7)) == 7
    assert len(grounded.backbone.tokenizer) == tokens, "the one that was trained stays as it is"
    assert np.array_equal(grounded.rank(VALIDATION.histories, k=5).items, before.items)


def test_rows_of_other_items_are_those_of_the_learned_map(grounded):
    made = transfer_to(grounded, OTHER_CATALOG, others())
    items = made.model.items
    assert torch.equal(items.project.weight, grounded.model.items.project.weight)
    expected = torch.from_numpy(OTHER_VECTORS) @ items.project.weight[:, :6].T  # no neighbours: their means are zeros
    assert torch.allclose(items(), expected, atol=1e-5)


def test_it_goes_on_learning_there_and_is_saved_whole(grounded, tmp_path):
    made = transfer_to(grounded, OTHER_CATALOG, others(), category="toys")
    made.origin = {"saw": {"source": "texts"}}
    made.fit(circle_walks(OTHERS, shoppers=20))
    made.save(tmp_path)
    loaded = TSRecRecommender.load(tmp_path)
    assert loaded.protocol["saw"] == {"source": "texts"}
    assert loaded.settings.prompts.category == "toys"
    assert loaded.model.items.identity.weight.any()


def test_what_the_map_cannot_read_is_said(grounded):
    with pytest.raises(DataError, match="give vectors of the other catalog"):
        transfer_to(grounded, OTHER_CATALOG, TSRecInputs(codes_as_tokens(OTHER_CODES)))
    narrow = TSRecInputs(codes_as_tokens(OTHER_CODES), vectors=OTHER_VECTORS[:, :5])
    with pytest.raises(DataError, match="trained with 12 features of an item, but the other catalog has 10"):
        transfer_to(grounded, OTHER_CATALOG, narrow)
    with pytest.raises(DataError, match="identifiers are given for 30 items, the catalog has 20"):
        transfer_to(built(PLAIN), CATALOG, TSRecInputs(codes_as_tokens(OTHER_CODES)))

import numpy as np
import pytest
import torch

from lexirec.data.sequences import Sequences
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.models.gram.step_decoder import GramSearcher, GramStepDecoder
from lexirec.nn.search import SearchSettings
from tests.worlds.ensemble import ITEMS, combinations, fusion, name, padded

ROWS = [[1, 2, 3, 4, 5, 6, 7], [], [9], [30, 2, 30], [8, 9], [], [11, 12, 13, 14, 15]]
HISTORIES = Sequences.from_lists(ROWS)
WIDE = SearchSettings(num_beams=200, batch_size=3)


@pytest.mark.parametrize("chosen", combinations(), ids=name)
@torch.no_grad()
def test_lists_are_the_best_of_all_items_in_the_order_of_the_histories(chosen):
    model = fusion(**chosen)
    model.train()
    found = GramSearcher(model, WIDE).rank(HISTORIES, 9)
    assert not model.training
    want = top_items(exact_scores(model.trie, GramStepDecoder(model, padded(ROWS))), 9)
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.exact.all()
    assert np.allclose(found.scores, want.scores, atol=1e-4)
    clear = np.abs(np.diff(found.scores, axis=1)).min(1) > 1e-3  # where nothing ties
    assert clear.sum() >= 3
    assert np.array_equal(found.items[clear], want.items.numpy()[clear])


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_batches_change_nothing(batch_size):
    model = fusion()
    one = GramSearcher(model, WIDE).rank(HISTORIES, 5, exclude_seen=True)
    two = GramSearcher(model, WIDE.model_copy(update={"batch_size": batch_size})).rank(HISTORIES, 5, exclude_seen=True)
    assert np.array_equal(one.items, two.items)
    assert np.allclose(one.scores, two.scores, atol=1e-5)


def test_seen_items_are_left_out_also_those_that_are_not_read():
    ranker = GramSearcher(fusion(), WIDE)
    found = ranker.rank(HISTORIES, ITEMS + 3, exclude_seen=True)
    for row, history in zip(found.items, ROWS):
        there = row[row >= 0]
        assert len(there) == ITEMS - len(set(history))
        assert not set(there.tolist()) & set(history)
        assert (row[len(there) :] == -1).all()
    assert (found.scores[found.items < 0] == -np.inf).all()
    assert np.isfinite(found.scores[found.items >= 0]).all()
    everything = ranker.rank(HISTORIES, ITEMS).items
    assert np.array_equal(np.sort(everything, axis=1), np.tile(np.arange(ITEMS), (len(ROWS), 1)))


def test_allowed_items_for_all_rows_and_per_row():
    ranker = GramSearcher(fusion(), SearchSettings(num_beams=3))
    for_all = np.zeros(ITEMS, dtype=np.bool_)
    for_all[[4, 30]] = True
    assert {tuple(sorted(row)) for row in ranker.rank(HISTORIES, 2, allowed=for_all).items.tolist()} == {(4, 30)}
    per_row = np.zeros((len(ROWS), ITEMS), dtype=np.bool_)
    per_row[np.arange(len(ROWS)), 10 + np.arange(len(ROWS))] = True
    items = ranker.rank(HISTORIES, 2, allowed=per_row).items
    assert items[:, 0].tolist() == [10, 11, 12, 13, 14, 15, 16]
    assert (items[:, 1] == -1).all()
    both = ranker.rank(Sequences.from_lists([[4], [30]]), 2, allowed=for_all, exclude_seen=True).items
    assert both.tolist() == [[30, -1], [4, -1]]
    assert (ranker.rank(HISTORIES, 2, allowed=np.zeros(ITEMS, dtype=np.bool_)).items == -1).all()


def test_scores_are_divided_by_length_where_generate_does():
    model = fusion(likelihood="vocabulary")
    plain = GramSearcher(model, SearchSettings(num_beams=ITEMS, length_penalty=0.0)).rank(HISTORIES, ITEMS)
    found = GramSearcher(model, SearchSettings(num_beams=ITEMS, length_penalty=1.0)).rank(HISTORIES, ITEMS)
    lengths = model.trie.depth[model.trie.item_node].numpy()
    for one, two, of_one, of_two in zip(plain.items, found.items, plain.scores, found.scores):
        sums = dict(zip(one.tolist(), of_one.tolist()))
        shared = [place for place, item in enumerate(two.tolist()) if item >= 0 and item in sums]
        assert len(shared) > ITEMS // 2
        want = [sums[two[place]] / lengths[two[place]] for place in shared]
        assert np.allclose(of_two[shared], want, atol=1e-5)


def test_no_histories_give_no_lists():
    found = GramSearcher(fusion(), WIDE).rank(Sequences.from_lists([]), 4)
    assert found.items.shape == found.scores.shape == (0, 4)
    assert found.exact.shape == (0,)


def test_a_narrow_search_keeps_at_least_as_many_prefixes_as_results():
    found = GramSearcher(fusion(), SearchSettings(num_beams=1)).rank(HISTORIES, 10)
    assert (found.items >= 0).all()
    assert all(len(set(row.tolist())) == 10 for row in found.items)


@pytest.mark.parametrize("user_prompt", ["grounded", "identifiers"])
@torch.no_grad()
def test_what_the_first_step_says_of_items_adds_up_to_what_it_says_of_their_prefixes(user_prompt):
    model = fusion(head="grounded", pooling="mass", user_prompt=user_prompt)
    of_items = np.exp(GramSearcher(model, WIDE).item_log_probabilities(HISTORIES))
    of_children = GramStepDecoder(model, padded(ROWS)).start()[:, 0].exp().numpy()
    child = model.trie.ancestors()[:, 0].numpy() - 1  # the root's children come first
    assert of_items.shape == (len(ROWS), ITEMS)
    np.testing.assert_allclose(of_items.sum(1), 1, atol=1e-5)
    summed = np.stack([np.bincount(child, weights=row, minlength=of_children.shape[1]) for row in of_items])
    np.testing.assert_allclose(summed, of_children, atol=1e-5)

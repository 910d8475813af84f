import numpy as np
import pytest
import torch

from lexirec.data.sequences import Sequences
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.models.tsrec.step_decoder import TSRecSearcher, TSRecStepDecoder
from lexirec.nn.ragged import Ragged
from lexirec.nn.search import SearchSettings
from tests.worlds.ensemble import padded
from tests.worlds.tsrec import HEADS, ITEMS, causal, identifiers

ROWS = [[1, 2, 3, 4, 5, 6, 7], [], [9], [30, 2, 30], [8, 9], [], [11, 12, 13, 14, 15]]
HISTORIES = Sequences.from_lists(ROWS)
WIDE = SearchSettings(num_beams=200, batch_size=3)


class Builder:
    """The newest three items of a history, framed by a token on either side."""

    def next_item(self, histories: Sequences) -> Ragged:
        told = [histories.row(row)[-3:].tolist() for row in range(len(histories))]
        spelled = [[token for item in items for token in identifiers()[item] if token >= 0] for items in told]
        return Ragged.from_lists([[2, *tokens, 3] for tokens in spelled])


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_lists_are_the_best_of_all_items_in_the_order_of_the_histories(kind):
    model = causal(**HEADS[kind], end=kind == "vocabulary")
    model.train()
    found = TSRecSearcher(model, Builder(), WIDE).rank(HISTORIES, 9)
    assert not model.training
    prompts = Builder().next_item(HISTORIES).pad(torch.arange(len(ROWS)))
    want = top_items(exact_scores(model.trie, TSRecStepDecoder(model, prompts, padded(ROWS))), 9)
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.exact.all()
    assert np.allclose(found.scores, want.scores, atol=1e-4)
    clear = np.abs(np.diff(found.scores, axis=1)).min(1) > 1e-3  # where nothing ties
    assert clear.sum() >= 3
    assert np.array_equal(found.items[clear], want.items.numpy()[clear])


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_batches_change_nothing(batch_size):
    model = causal(likelihood="vocabulary", end=True)
    search = SearchSettings(num_beams=8, batch_size=3, length_penalty=0.0)
    one = TSRecSearcher(model, Builder(), search).rank(HISTORIES, 5)
    two = TSRecSearcher(model, Builder(), search.model_copy(update={"batch_size": batch_size})).rank(HISTORIES, 5)
    assert np.array_equal(one.items, two.items)
    assert np.allclose(one.scores, two.scores, atol=1e-5)


def test_seen_and_forbidden_items_are_left_out():
    ranker = TSRecSearcher(causal(), Builder(), SearchSettings(num_beams=4))
    found = ranker.rank(HISTORIES, ITEMS + 3, exclude_seen=True)
    for row, history in zip(found.items, ROWS):
        there = row[row >= 0]
        assert len(there) == ITEMS - len(set(history))
        assert not set(there.tolist()) & set(history)
    allowed = np.zeros(ITEMS, dtype=np.bool_)
    allowed[[4, 30]] = True
    assert {tuple(sorted(row)) for row in ranker.rank(HISTORIES, 2, allowed=allowed).items.tolist()} == {(4, 30)}


@torch.no_grad()
def test_what_the_first_step_says_of_items_adds_up_to_what_it_says_of_their_prefixes():
    model = causal(head="grounded", embeddings="grounded", pooling="mass")
    of_items = np.exp(TSRecSearcher(model, Builder(), WIDE).item_log_probabilities(HISTORIES))
    prompts = Builder().next_item(HISTORIES).pad(torch.arange(len(ROWS)))
    of_children = TSRecStepDecoder(model, prompts, padded(ROWS)).start()[:, 0].exp().numpy()
    child = model.trie.ancestors()[:, 0].numpy() - 1  # the root's children come first
    assert of_items.shape == (len(ROWS), ITEMS)
    np.testing.assert_allclose(of_items.sum(1), 1, atol=1e-5)
    summed = np.stack([np.bincount(child, weights=row, minlength=of_children.shape[1]) for row in of_items])
    np.testing.assert_allclose(summed, of_children, atol=1e-5)

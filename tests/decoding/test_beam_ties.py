import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.decoding.beam import Beams, beam_search
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.decoding.trie import Trie
from tests.worlds.tables import TableDecoder, random_identifiers

seeds = st.integers(0, 2**32 - 1)
PENALTIES = st.sampled_from([None, 0.0, 1.0])


def tied_world(seed: int, levels: int) -> tuple[Trie, torch.Tensor]:
    """Return a trie and scores of entering its nodes that take few values, so that many items and prefixes tie."""
    rng = np.random.default_rng(seed)
    trie = Trie.build(random_identifiers(rng, items=60, vocabulary=4, longest=5))
    return trie, torch.from_numpy(-rng.integers(0, levels, (3, trie.n_nodes)).astype(np.float32) / 2)


def assert_ties_ascend(beams: Beams) -> None:
    tied = (beams.scores[:, 1:] == beams.scores[:, :-1]) & (beams.items[:, 1:] >= 0)
    assert (beams.items[:, 1:] > beams.items[:, :-1])[tied].all()


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(1, 3), st.integers(1, 40))
def test_an_exhaustive_search_breaks_ties_as_exact_scoring_does(seed: int, levels: int, k: int):
    trie, entering = tied_world(seed, levels)
    scores = exact_scores(trie, TableDecoder(trie, entering))
    expected = np.lexsort((np.broadcast_to(np.arange(trie.n_items), scores.shape), -scores.numpy()), axis=1)[:, :k]
    assert top_items(scores, expected.shape[1]).items.tolist() == expected.tolist()
    beams = beam_search(trie, TableDecoder(trie, entering), width=trie.n_nodes, k=expected.shape[1])
    assert beams.items.tolist() == expected.tolist()
    assert beams.exact.all()


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(1, 3), st.integers(1, 12), PENALTIES)
def test_narrow_searches_break_ties_within_their_lists_and_know_when_a_tie_was_pruned(
    seed: int, levels: int, width: int, length_penalty: float | None
):
    trie, entering = tied_world(seed, levels)
    k = max(1, width // 2)
    beams = beam_search(trie, TableDecoder(trie, entering), width=width, k=k, length_penalty=length_penalty)
    assert_ties_ascend(beams)
    scores = exact_scores(trie, TableDecoder(trie, entering), length_penalty=length_penalty)
    assert torch.equal(beams.items[beams.exact], top_items(scores, k).items[beams.exact])


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 8))
def test_where_everything_ties_the_first_items_win_however_narrow_the_search(seed: int, k: int):
    trie, _ = tied_world(seed, 1)
    decoder = TableDecoder(trie, torch.zeros((2, trie.n_nodes)))
    assert beam_search(trie, decoder, width=k, k=k).items.tolist() == [list(range(k))] * 2


def test_a_pruned_prefix_as_good_as_the_last_result_is_not_called_exact():
    trie = Trie.build([[1, 1], [2, 1], [3, 1]])
    decoder = TableDecoder(trie, torch.zeros((1, trie.n_nodes)))
    beams = beam_search(trie, decoder, width=1, k=1)
    assert (beams.items.tolist(), beams.exact.tolist()) == ([[0]], [False])


@pytest.mark.parametrize("end", [None, 9])
def test_the_smallest_item_below_a_node(end: int | None):
    trie = Trie.build(random_identifiers(np.random.default_rng(1), items=50, vocabulary=3, longest=5), end=end)
    order, first, last = trie.order, trie.first.tolist(), trie.last.tolist()
    expected = [int(order[low:high].min()) for low, high in zip(first, last, strict=True)]
    assert trie.smallest_item.tolist() == expected

import torch

from lexirec.decoding.exact import exact_scores, top_items
from lexirec.decoding.trie import Trie
from tests.worlds.tables import TableDecoder

#             root        1    2          11   12  (depth first in words, breadth first in numbers)
IDENTIFIERS = [[1, 1, -1], [2, -1, -1], [1, 2, 5], [1, 2, 6]]


def a_decoder() -> tuple[Trie, TableDecoder]:
    trie = Trie.build(IDENTIFIERS)
    assert [trie.path(v) for v in range(trie.n_nodes)] == [[], [1], [2], [1, 1], [1, 2], [1, 2, 5], [1, 2, 6]]
    entering = torch.tensor([[0.0, -1.0, -2.0, -0.25, -0.5, -3.0, -4.0], [0.0, -2.0, -1.0, -4.0, -3.0, -0.5, -0.25]])
    return trie, TableDecoder(trie, entering)


def test_scores_by_hand():
    trie, decoder = a_decoder()
    assert exact_scores(trie, decoder).tolist() == [[-1.25, -2.0, -4.5, -5.5], [-6.0, -1.0, -5.5, -5.25]]


def test_length_penalty_counts_edges():
    trie, decoder = a_decoder()
    scores = exact_scores(trie, decoder, length_penalty=1.0)
    torch.testing.assert_close(scores[0], torch.tensor([-1.25 / 2, -2.0, -1.5, -5.5 / 3]))


def test_bias_is_added_on_entering_and_never_at_the_root():
    trie, decoder = a_decoder()
    bias = torch.tensor([[100.0, 10.0, 20.0, 1.0, 2.0, 0.5, -torch.inf]])
    scores = exact_scores(trie, decoder, bias_BN=bias)
    assert scores[0].tolist() == [-1.25 + 11, -2.0 + 20, -4.5 + 12.5, -torch.inf]


def test_top_items_pads_and_skips_what_is_no_item():
    beams = top_items(torch.tensor([[1.0, -torch.inf, 3.0], [-torch.inf] * 3]), 4)
    assert beams.items.tolist() == [[2, 0, -1, -1], [-1] * 4]
    assert beams.scores[0].tolist() == [3.0, 1.0, -torch.inf, -torch.inf]
    assert beams.exact.tolist() == [True, True]

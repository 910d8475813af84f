from itertools import pairwise

import pytest
import torch

from lexirec.decoding.lookahead import look_ahead
from lexirec.decoding.trie import Trie

# three items in chains below 1-2, two below 1-3, one chain below 4
IDENTIFIERS = torch.tensor([[1, 2, 5, 6], [1, 2, 7, 8], [1, 2, 7, 9], [1, 3, 5, -1], [1, 3, 6, -1], [4, 5, 6, 7]])
TRIE = Trie.build(IDENTIFIERS)
INSIDE = TRIE.node_item < 0
SEVERAL = TRIE.last - TRIE.first > 1


def nodes(*paths: list[int]) -> torch.Tensor:
    """Return the node numbers of prefixes, as one row of beams."""
    spelled = {tuple(TRIE.path(node)): node for node in range(TRIE.n_nodes)}
    return torch.tensor([[spelled[tuple(path)] for path in paths]])


def below(node: int, needed: torch.Tensor) -> list[int]:
    """Return a node and all needed nodes under it, one by one."""
    children = range(int(TRIE.child_offsets[node]) + 1, int(TRIE.child_offsets[node + 1]) + 1)
    return [node, *(found for child in children if needed[child] for found in below(child, needed))]


@pytest.mark.parametrize("needed", [INSIDE, SEVERAL])
def test_all_needed_nodes_below_the_beams_stand_once_with_their_beam_and_path(needed):
    beams = nodes([1, 3], [1, 2])
    ahead = look_ahead(TRIE, beams, 2, needed_N=needed)
    expected = {found: beam for beam in range(2) for found in below(int(beams[0, beam]), needed)}
    assert dict(zip(ahead.nodes_BT[0].tolist(), ahead.beams_BT[0].tolist())) == expected
    assert ahead.nodes_BT[0].tolist() == sorted(expected)
    for place, node in enumerate(ahead.nodes_BT[0].tolist()):
        level = int(ahead.levels_BT[0, place])
        assert level == int(TRIE.depth[node]) - 2
        path = [int(ahead.nodes_BT[0, above]) for above in ahead.above_BTJ[0, place, : level + 1]]
        assert path[-1] == node
        assert path[0] == int(beams[0, expected[node]])
        assert all(int(TRIE.parent[low]) == high for high, low in pairwise(path))
        assert int(ahead.find(torch.tensor([[node]]))) == place


def test_rows_of_a_batch_keep_to_themselves():
    beams = torch.cat([nodes([1, 2], [4, 5]), nodes([4, 5], [1, 3])])
    ahead = look_ahead(TRIE, beams, 2, needed_N=INSIDE)
    for row in range(2):
        expected = sorted(found for beam in beams[row].tolist() for found in below(beam, INSIDE))
        assert sorted(set(ahead.nodes_BT[row].tolist())) == expected
        assert (ahead.above_BTJ[row] // ahead.nodes_BT.shape[1] == row).all()


@pytest.mark.parametrize("idle", [0, 1, 2])
def test_a_row_that_has_nothing_ahead_sees_its_own_places(idle):
    rows = [nodes([1, 2], [1, 3])] * 3
    rows[idle] = nodes([4, 5], [4, 5])
    ahead = look_ahead(TRIE, torch.cat(rows), 2, needed_N=SEVERAL)
    own = torch.arange(3)[:, None, None]
    assert (ahead.above_BTJ // ahead.nodes_BT.shape[1] == own).all()


def test_dead_beams_and_repeated_ones_are_left_out():
    beams = torch.cat([nodes([1, 2]), nodes([1]), nodes([1, 2])], dim=1)  # the second stands at another depth
    ahead = look_ahead(TRIE, beams, 2, needed_N=INSIDE)
    assert ahead.nodes_BT[0].tolist() == sorted(below(int(beams[0, 0]), INSIDE))


def test_where_nothing_is_needed_one_row_is_left():
    ahead = look_ahead(TRIE, nodes([4, 5]), 2, needed_N=SEVERAL)
    assert ahead.nodes_BT.shape == (1, 1)


def test_bushes_are_left_to_steps():
    bush = Trie.build(torch.cartesian_prod(*[torch.arange(1, 7)] * 4))
    beams = torch.tensor([[1, 2]])
    assert look_ahead(bush, beams, 1, needed_N=bush.node_item < 0) is None
    chain = Trie.build(torch.arange(1, 21).view(2, 10))
    assert look_ahead(chain, beams, 1, needed_N=chain.node_item < 0).nodes_BT.shape == (1, 18)

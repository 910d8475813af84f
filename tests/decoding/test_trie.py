from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.decoding.trie import Trie
from tests.worlds.tables import random_identifiers

Identifiers = list[tuple[int, ...]]


def pad(identifiers: Identifiers) -> np.ndarray:
    longest = max(map(len, identifiers))
    return np.array([[*identifier, *[-1] * (longest - len(identifier))] for identifier in identifiers])


def without_prefixes(identifiers: set[tuple[int, ...]]) -> Identifiers:
    prefixes = {i[:n] for i in identifiers for n in range(1, len(i))}
    return [i for i in identifiers if i not in prefixes]


token_lists = st.sets(st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), min_size=1, max_size=40)
prefix_free = token_lists.map(without_prefixes)


@settings(deadline=None, max_examples=25)
@given(prefix_free, st.sampled_from([None, 7]))
def test_trie_is_its_set_of_identifiers(identifiers: Identifiers, end: int | None):
    trie = Trie.build(pad(identifiers), end=end)
    closed = [(*i, end) if end is not None else i for i in identifiers]
    nodes = {i[:n] for i in closed for n in range(len(i) + 1)}
    assert {tuple(trie.path(v)) for v in range(trie.n_nodes)} == nodes
    assert trie.n_nodes == len(nodes)
    assert [tuple(trie.path(int(v))) for v in trie.item_node] == closed
    assert [tuple(t for t in row if t >= 0) for row in trie.sequences().tolist()] == closed
    assert trie.node_item[trie.item_node].tolist() == list(range(len(identifiers)))
    assert int((trie.node_item >= 0).sum()) == len(identifiers)


@settings(deadline=None, max_examples=25)
@given(prefix_free)
def test_layout_is_breadth_first_with_consecutive_children(identifiers: Identifiers):
    trie = Trie.build(pad(identifiers))
    paths = [tuple(trie.path(v)) for v in range(trie.n_nodes)]
    assert [len(p) for p in paths] == sorted(len(p) for p in paths) == trie.depth.tolist()
    for v, path in enumerate(paths):
        low, high = int(trie.child_offsets[v]) + 1, int(trie.child_offsets[v + 1]) + 1
        assert [w for w in range(trie.n_nodes) if paths[w][:-1] == path and w > 0] == list(range(low, high))
        width = max(high - low, 1) + 1
        row = trie.children(torch.tensor([[v]]), width)[0, 0].tolist()
        assert row == [*range(low, high), *[-1] * (width - (high - low))]
        assert all(int(trie.parent[w]) == v for w in range(low, high))


@settings(deadline=None, max_examples=25)
@given(prefix_free)
def test_leaf_ranges_hold_the_items_below(identifiers: Identifiers):
    trie = Trie.build(pad(identifiers), end=9)
    for v in range(trie.n_nodes):
        path = tuple(trie.path(v))
        below = trie.order[int(trie.first[v]) : int(trie.last[v])].tolist()
        assert set(below) == {i for i, t in enumerate(identifiers) if (*t, 9)[: len(path)] == path}
        assert len(below) == len(set(below))


@settings(deadline=None, max_examples=25)
@given(prefix_free)
def test_python_numbers_per_depth(identifiers: Identifiers):
    trie = Trie.build(pad(identifiers))
    counts = torch.diff(trie.child_offsets)
    for depth in range(trie.longest):
        at = counts[trie.depth == depth]
        assert trie.max_children[depth] == int(at.max())
        assert trie.internal[depth] == int((at > 0).sum())
        assert trie.level_offsets[depth + 1] - trie.level_offsets[depth] == at.numel()
    assert trie.level_offsets[-1] == trie.n_nodes


@settings(deadline=None, max_examples=25)
@given(prefix_free, st.data())
def test_refuses_duplicates_and_prefixes_naming_the_items(identifiers: Identifiers, data: st.DataObject):
    victim = data.draw(st.integers(0, len(identifiers) - 1))
    kept = data.draw(st.integers(1, len(identifiers[victim])))
    worse = [*identifiers, identifiers[victim][:kept]]
    with pytest.raises(DataError, match=r"equals that of|is a proper prefix of") as caught:
        Trie.build(pad(worse), end=data.draw(st.sampled_from([None, 7])))
    assert f"item {len(identifiers)}" in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=25)
@given(prefix_free)
def test_pool_is_the_mean_below_each_node(identifiers: Identifiers):
    trie = Trie.build(pad(identifiers), end=9)
    vectors = torch.randn(trie.n_items, 3, dtype=torch.float64, requires_grad=True)
    pooled = trie.pool(vectors)
    for v in range(trie.n_nodes):
        below = trie.order[int(trie.first[v]) : int(trie.last[v])]
        torch.testing.assert_close(pooled[v], vectors[below].mean(dim=0))
    weights = torch.randn_like(pooled)
    (grad,) = torch.autograd.grad((pooled * weights).sum(), vectors)
    sizes = (trie.last - trie.first).unsqueeze(-1)
    expected = torch.zeros_like(grad)
    for v in range(trie.n_nodes):
        expected[trie.order[int(trie.first[v]) : int(trie.last[v])]] += (weights / sizes)[v]
    torch.testing.assert_close(grad, expected)


def test_to_the_same_device_is_the_trie_itself():
    trie = Trie.build([[1, 2], [3, 4]])
    assert trie.to("cpu") is trie
    assert trie.to("meta").token.device.type == "meta"
    assert trie.to("meta").max_children == trie.max_children


@pytest.mark.data
def test_census_of_the_identifiers_that_gram_published(data_dir: Path):
    """The counts of GRAM's Beauty file: nodes, prefixes per depth, greatest number of children, unary tails."""
    column = pq.read_table(data_dir / "beauty" / "lexical_ids.parquet").column("gram_lexical_id").to_pylist()
    spelled = [text.strip("|").split("|") for text in column]
    numbers = {piece: n for n, piece in enumerate(dict.fromkeys(piece for row in spelled for piece in row))}
    trie = Trie.build(pad([tuple(numbers[piece] for piece in row) for row in spelled]))
    assert trie.n_items == 12_101
    assert trie.n_nodes - 1 == 63_789
    assert np.diff(trie.level_offsets)[1:5].tolist() == [108, 6600, 10126, 11257]
    assert (trie.leaves(7), trie.leaves(8)) == (11_668, 433)
    assert max(trie.max_children) == 255
    children = torch.diff(trie.child_offsets)
    assert float((children == 1).sum() / (children > 0).sum()) == pytest.approx(0.939, abs=5e-4)


def test_means_and_nodes_of_trained_items_do_not_change_when_items_are_added():
    rng = np.random.default_rng(4)
    tokens = random_identifiers(rng, items=120, vocabulary=5, longest=4)
    n_items = len(tokens) - 30
    before, after = Trie.build(tokens[:n_items]), Trie.build(tokens, trained=n_items)
    vectors = torch.from_numpy(rng.normal(size=(len(tokens), 3)))
    old, new = before.pool(vectors[:n_items]), after.pool(vectors)
    paths, grown = before.ancestors(), after.ancestors()[:n_items]
    for item in range(n_items):
        nodes = paths[item][paths[item] >= 0], grown[item][grown[item] >= 0]
        torch.testing.assert_close(new[nodes[1]], old[nodes[0]])
        assert bool(after.with_trained[nodes[1]].all())
    alone = [node for node in range(after.n_nodes) if not after.with_trained[node]]
    assert alone
    for node in alone:
        below = after.order[after.first[node] : after.last[node]]
        assert int(below.min()) >= n_items
        torch.testing.assert_close(new[node], vectors[below].mean(0))
    assert Trie.build(tokens, trained=len(tokens)).trained is None
    assert after.to("cpu").trained == n_items

import numpy as np
import pytest

from lexirec.decoding.trie import Trie
from lexirec.workflows.benchmarks.fixtures import Sizes, beauty_like_lengths, gram_like_identifiers, make_world

TINY = Sizes("scratch:tiny", vocabulary=400, items=150, prompt=16, history=4, width=5)


def test_the_tree_thins_out_as_the_published_one():
    tokens = gram_like_identifiers(12_101, 32_128, seed=0)
    prefixes = [len(np.unique(tokens[:, :depth], axis=0)) for depth in range(1, 5)]
    assert prefixes == pytest.approx([108, 6_600, 10_126, 11_257], rel=0.2)
    trie = Trie.build(tokens, end=1)  # refuses equal identifiers and prefixes
    assert trie.max_children[1] < 263
    single = (trie.child_offsets.diff() == 1).sum() / (trie.child_offsets.diff() > 0).sum()
    assert single > 0.9
    assert 0 <= tokens[:, :7].min() <= tokens.max() < 32_128


def test_identifiers_are_seeded():
    same, other = (gram_like_identifiers(500, 1_000, seed=seed) for seed in (0, 1))
    assert np.array_equal(gram_like_identifiers(500, 1_000, seed=0), same)
    assert not np.array_equal(same, other)


def test_rows_are_as_long_as_those_of_beauty():
    lengths = beauty_like_lengths(100)
    assert lengths.mean() == pytest.approx(6.88, abs=0.1)
    told = sum(min(place, 20) for length in lengths for place in range(1, length))
    assert told / (lengths - 1).sum() == pytest.approx(6.70, abs=0.15)
    assert lengths.min() == 3


def test_prompts_are_of_full_length():
    world = make_world(TINY, seed=0)
    assert world.item_prompts.lengths.tolist() == [TINY.prompt] * TINY.items
    assert not world.model.training
    assert len(world.tokens) == world.model.trie.n_items == TINY.items

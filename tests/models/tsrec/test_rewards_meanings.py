import numpy as np
import pytest
import torch
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.rewards import token_meanings
from tests.worlds.ensemble import tokenizer as plain_tokenizer

NAMES = ["<a_0>", "<a_1>", "<a_2>", "<b_0>", "<b_1>", "<c_0>", "<c_1>"]
WORDS = [
    TokenWords("<a_0>", 0, ("red", "green")),
    TokenWords("<a_1>", 0, ("blue",)),
    TokenWords("<a_2>", 0, ("item number",)),
    TokenWords("<b_0>", 1, ("red",)),
    TokenWords("<b_1>", 1, ("thing",)),
    TokenWords("<b_9>", 1, ("blue",)),  # of no item
]


@pytest.fixture
def world():
    import copy

    tokenizer = copy.deepcopy(plain_tokenizer())
    tokenizer.add_tokens([*NAMES, "<b_9>"])
    a0, a1, a2, b0, b1, c0, c1 = tokenizer.convert_tokens_to_ids(NAMES)
    trie = Trie.build(np.array([[a0, b0, -1], [a0, b1, -1], [a1, b0, -1], [a2, b1, c0], [a2, b1, c1]]))
    table = torch.randn(len(tokenizer) + 3, 5, generator=torch.Generator().manual_seed(0))
    return trie, tokenizer, table


def test_a_token_means_its_keywords_less_what_its_level_has_in_common(world):
    trie, tokenizer, table = world
    meanings, path = token_meanings(trie, WORDS, tokenizer, table), trie.ancestors()

    def mean(text):
        return table[tokenizer(f"item {text}", add_special_tokens=False)["input_ids"][1:]].mean(0)

    first = torch.stack([(mean("red") + mean("green")) / 2, mean("blue"), mean("item number")])
    expected = first - first.mean(0)
    for item, token in enumerate((0, 0, 1, 2, 2)):
        assert torch.allclose(meanings.vectors_TD[meanings.row_N[path[item, 0]]], expected[token], atol=1e-5)
    second = torch.stack([mean("red"), mean("thing"), mean("blue")])
    found = meanings.vectors_TD[meanings.row_N[path[1, 1]]]
    assert torch.allclose(found, second[1] - second.mean(0), atol=1e-5)


def test_the_same_token_is_the_same_row_under_any_parent(world):
    trie, tokenizer, table = world
    meanings, path = token_meanings(trie, WORDS, tokenizer, table), trie.ancestors()
    assert meanings.row_N[path[0, 1]] == meanings.row_N[path[2, 1]]
    assert meanings.row_N[path[0, 1]] != meanings.row_N[path[1, 1]]


def test_tokens_without_keywords_mean_nothing_but_are_told_apart(world):
    trie, tokenizer, table = world
    meanings = token_meanings(trie, WORDS, tokenizer, table)
    last = meanings.row_N[trie.ancestors()[3:, 2]]
    assert last[0] != last[1]
    assert not meanings.vectors_TD[last].any()


def test_levels_do_not_share_a_direction(world):
    """However large the part all rows of the table share, cosines within a level are those without it."""
    trie, tokenizer, table = world
    plain, shifted = (token_meanings(trie, WORDS, tokenizer, t).vectors_TD for t in (table, table + 50))
    rows = token_meanings(trie, WORDS, tokenizer, table).row_N[trie.ancestors()[[0, 2], 0]]
    one, two = (functional.cosine_similarity(*vectors[rows], dim=0) for vectors in (plain, shifted))
    assert one == pytest.approx(float(two), abs=1e-3)
    assert one < 0.9

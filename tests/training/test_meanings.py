import numpy as np
import torch
from torch.nn import functional

from lexirec.codes.codes import Codes
from lexirec.codes.lexicon import Lexicon, LexiconLevel
from lexirec.decoding.trie import Trie
from lexirec.training.meanings import term_vectors, token_meanings
from tests.fusion_world import tokenizer

CODES = Codes(np.array([[0, 0], [0, 1], [1, 0], [2, 2], [2, 2]]), "residual")
TOKENS = np.array([[10, 20, -1], [10, 21, -1], [11, 20, -1], [12, 22, 30], [12, 22, 31]], dtype=np.int32)
WORDS = ("drill", "saw", "glue", "lamp")


def level(terms: list[list[int]], scores: list[list[float]]) -> LexiconLevel:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in terms])])
    return LexiconLevel(offsets, np.concatenate(terms).astype(np.int32), np.concatenate(scores))


def lexicon() -> Lexicon:
    first = level([[0, 1], [2], [3]], [[3.0, 1.0], [2.0], [1.0]])
    return Lexicon((first, level([[0], [1], [2]], [[1.0], [1.0], [1.0]])), WORDS)


def test_a_token_means_its_terms_less_what_its_level_has_in_common():
    trie, terms = Trie.build(TOKENS), torch.eye(4)
    meanings = token_meanings(trie, CODES, lexicon(), terms)
    path = trie.ancestors()
    first = torch.tensor([[0.75, 0.25, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    expected = first - first.mean(0)
    for item, cell in enumerate((0, 0, 1, 2, 2)):
        assert torch.allclose(meanings.vectors_TD[meanings.row_N[path[item, 0]]], expected[cell])
    assert meanings.row_N[path[0, 1]] == meanings.row_N[path[2, 1]]  # token 20 under two parents
    assert meanings.row_N[path[0, 1]] != meanings.row_N[path[1, 1]]


def test_tokens_below_the_codes_mean_nothing_but_are_told_apart():
    trie = Trie.build(TOKENS)
    meanings = token_meanings(trie, CODES, lexicon(), torch.eye(4))
    last = meanings.row_N[trie.ancestors()[3:, 2]]
    assert last[0] != last[1]
    assert not meanings.vectors_TD[last].any()


def test_terms_are_means_of_their_pieces():
    table = torch.randn(len(tokenizer()), 5, generator=torch.Generator().manual_seed(0))
    found = term_vectors(["red", "green thing"], tokenizer(), table)
    for text, vector in zip(("red", "green thing"), found):
        ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
        assert torch.allclose(vector, table[ids].mean(0), atol=1e-6)
    assert functional.cosine_similarity(found[0], found[1], dim=0) < 0.99

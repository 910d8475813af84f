from __future__ import annotations

import math

import numpy as np
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.models.tsrec.keywords import TokenWords, keyword_shares, token_words
from lexirec.nn.tokenizer import train_tokenizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.lexicon import tfidf_lexicon

TOKENIZER = train_tokenizer(["red soap bar", "blue soap dish", "a green towel", "item"] * 10, vocabulary_size=200)
WORDS = [
    TokenWords("<a_0>", 0, ("red soap", "bar", "soap")),
    TokenWords("<a_5>", 0, ("blue", "soap"), (3.0, 1.0)),
    TokenWords("<b_0>", 1, ()),
]


def pieces(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False).input_ids


def reference(weighted: list[tuple[float, list[int]]]) -> np.ndarray:
    row = np.zeros(len(TOKENIZER))
    total = sum(weight for weight, _ in weighted)
    for weight, ids in weighted:
        for number in ids:
            row[number] += weight / total / len(ids)
    return row


def test_joined_counts_every_sub_word_once():
    shares = keyword_shares(TOKENIZER, WORDS, "joined").toarray()
    assert np.allclose(shares[0], reference([(1, pieces("red soap bar soap"))]), atol=1e-12)
    assert np.allclose(shares.sum(1), [1, 1, 0])


def test_keywords_count_alike_however_long():
    shares = keyword_shares(TOKENIZER, WORDS, "keywords").toarray()
    expected = reference([(1, pieces("red soap")), (1, pieces("bar")), (1, pieces("soap"))])
    assert np.allclose(shares[0], expected, atol=1e-12)
    assert np.allclose(shares.sum(1), [1, 1, 0])


def test_weights_are_the_lexicons_or_say_how_rare_a_keyword_is_among_the_levels_tokens():
    shares = keyword_shares(TOKENIZER, WORDS, "weighted").toarray()
    rare, shared = math.log(3 / 1), math.log(3 / 2)
    expected = reference([(rare, pieces("red soap")), (rare, pieces("bar")), (shared, pieces("soap"))])
    assert np.allclose(shares[0], expected, atol=1e-12)
    assert np.allclose(shares[1], reference([(3, pieces("blue")), (1, pieces("soap"))]), atol=1e-12)
    with pytest.raises(SettingsError, match="token '<a_1>': give one positive weight per keyword"):
        keyword_shares(TOKENIZER, [TokenWords("<a_1>", 0, ("red", "soap"), (1.0,))], "weighted")


def test_keywords_are_spelled_as_behind_another_word():
    class Spaces:
        """A tokenizer whose words have other ids at the start of a text, as those of Qwen have."""

        def __len__(self):
            return 100

        def __call__(self, texts, **_):
            def spell(text):
                return [ord(word[0]) % 50 + (50 if place else 0) for place, word in enumerate(text.split())]

            return {"input_ids": spell(texts) if isinstance(texts, str) else [spell(text) for text in texts]}

    shares = keyword_shares(Spaces(), [TokenWords("<a_0>", 0, ("red soap",))], "keywords")
    assert sorted(shares.indices.tolist()) == sorted([ord("r") % 50 + 50, ord("s") % 50 + 50])


def test_words_come_from_the_lexicon_of_residual_codes():
    codes = Codes(np.array([[0, 7], [0, 3], [4, 7], [4, 3]]), kind="residual")
    texts = ["red soap bar", "red soap dish", "green towel bar", "green towel dish"]
    words = token_words(tfidf_lexicon(texts, codes), codes, most=2)
    assert [(word.token, word.level) for word in words] == [("<a_0>", 0), ("<a_4>", 0), ("<b_3>", 1), ("<b_7>", 1)]
    assert set(words[1].keywords) == {"green", "towel"}
    assert words[2].keywords[0] == "dish"
    assert len(words[1].weights) == 2
    assert "towel" in words[1].description
    levels_that_tell_collisions_apart = Codes(np.hstack([codes.values, [[0], [1], [0], [1]]]), kind="residual")
    assert token_words(tfidf_lexicon(texts, codes), levels_that_tell_collisions_apart, most=2) == words


def test_lexica_of_other_codes_are_refused():
    codes = Codes(np.array([[0, 7], [0, 3], [4, 7]]), kind="residual")
    lexicon = tfidf_lexicon(["red", "blue", "green"], codes)
    with pytest.raises(DataError, match="level 1: the lexicon has 2 cells, but the residual codes have 3 tokens"):
        token_words(lexicon, Codes(np.array([[0, 7], [0, 3], [4, 1]]), kind="residual"))
    with pytest.raises(DataError, match="the tree codes"):
        token_words(lexicon, Codes(codes.values, kind="tree"))

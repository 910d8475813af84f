import math

import numpy as np
import pytest
from scipy import sparse

from lexirec.core.errors import DataError
from lexirec.semantic_ids.lexicon.tfidf import best_terms, readable, split_terms, tf_idf, vocabulary_of
from tests.worlds.pieces import bert_like

TEXTS = ["Red soap, red towel", "blue SOAP", "don't use x: soap 5 ml"]


def words_of(terms, text):
    return [terms.vocabulary[number] for number in terms.numbers[terms.offsets[text] : terms.offsets[text + 1]]]


def test_words_are_lower_case_letters_and_digits():
    terms = split_terms(TEXTS)
    assert words_of(terms, 0) == ["red", "soap", "red", "towel"]
    assert words_of(terms, 2) == ["don't", "use", "x", "soap", "5", "ml"]
    assert list(terms.vocabulary) == sorted(terms.vocabulary)
    assert not terms.usable()[[terms.vocabulary.index("x"), terms.vocabulary.index("5")]].any()


def test_pieces_are_the_tokenizers_own_and_special_ones_unusable():
    tokenizer = bert_like(["so", "##ap", "red", "Red", "##x"])
    terms = split_terms(["Red soap", "", "red"], tokenizer)
    assert words_of(terms, 0) == ["Red", "so", "##ap"]
    assert words_of(split_terms(["Red soap"], tokenizer, lowercase=True), 0) == ["red", "so", "##ap"]
    assert np.diff(terms.offsets).tolist() == [3, 0, 1]
    assert terms.vocabulary == vocabulary_of(tokenizer)
    assert not terms.usable()[tokenizer.all_special_ids].any()


def test_tf_counts_the_first_pieces_and_df_the_whole_text():
    scores = tf_idf(split_terms(TEXTS), tf_pieces=3)
    vocabulary = split_terms(TEXTS).vocabulary
    dense = dict(zip(vocabulary, scores.toarray().T, strict=True))
    soap = math.log(1 + (3 - 3 + 0.5) / (3 + 0.5))
    once = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    assert dense["soap"] == pytest.approx([soap, soap, 0])  # the third text says it as its fourth word
    assert dense["red"] == pytest.approx([2 * once, 0, 0])
    assert dense["towel"] == pytest.approx([0, 0, 0])
    full = dict(zip(vocabulary, tf_idf(split_terms(TEXTS), tf_pieces=None).toarray().T, strict=True))
    assert full["towel"] == pytest.approx([once, 0, 0])
    share = dict(zip(vocabulary, tf_idf(split_terms(TEXTS), tf_pieces=None, tf_share=True).toarray().T, strict=True))
    assert share["red"] == pytest.approx([2 * once / 4, 0, 0])


def test_best_terms_order_ties_by_number_and_drop_unusable_ones_last():
    scores = sparse.csr_array(np.array([[1.0, 3, 3, 2, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]))
    best = best_terms(scores, 3, np.array([True, False, True, True, True]))
    assert best.indptr.tolist() == [0, 2, 2, 4]
    assert best.indices.tolist() == [2, 3, 0, 2]
    assert best.data.tolist() == [3, 2, 1, 1]


def test_readable_terms_have_no_marks():
    assert [readable(term) for term in ("▁soap", "##ap", "Ġred", "ren")] == ["soap", "ap", "red", "ren"]


def test_texts_without_a_word_are_refused():
    with pytest.raises(DataError, match="hold no word"):
        split_terms(["", "…"])

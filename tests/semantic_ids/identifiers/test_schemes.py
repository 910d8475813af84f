import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.base import name_items
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import (
    CodeIdentifiers,
    KeywordIdentifiers,
    LexicalIdentifiers,
    TextIdentifiers,
    codes_as_tokens,
    keyword_identifiers,
    text_identifiers,
)
from lexirec.semantic_ids.lexicon.field_names import without_field_names
from lexirec.semantic_ids.lexicon.lexicon import tfidf_lexicon
from tests.worlds.pieces import bert_like

TEXTS = ["rose soap soap bar", "rose soap soap bar", "rose soap", "mint tea", ""]


def spelled(identifiers):
    return [" ".join(identifiers.spelled(item)) for item in range(len(identifiers))]


def test_keywords_are_the_best_terms_of_the_own_text():
    found = spelled(keyword_identifiers(TEXTS, settings=KeywordIdentifiers(length=2)))
    assert found == ["soap bar 0", "soap bar 1", "rose soap", "mint tea", "0"]


def test_texts_are_kept_in_order_cut_and_counted():
    found = spelled(text_identifiers(TEXTS, settings=TextIdentifiers(length=3)))
    assert found == ["rose soap soap 0", "rose soap soap 1", "rose soap 0", "mint tea", "0"]
    tokenizer = bert_like(["rose", "so", "##ap", "bar", "mint", "tea", "0", "1", "2"])
    found = spelled(text_identifiers([*TEXTS[:4], "rose ?"], tokenizer, TextIdentifiers(length=3)))
    assert found[0] == "rose so ##ap 0"
    assert found[4] == "rose 0"  # the unknown piece is left out, and "rose" begins others


def test_codes_are_tokens_of_their_own_with_a_letter_per_level():
    codes = Codes(np.array([[12, 0], [12, 1], [3, 0], [12, 0]]), "residual")
    identifiers = codes_as_tokens(codes)
    assert spelled(identifiers) == ["<a_12> <b_0> <c_0>", "<a_12> <b_1>", "<a_3> <b_0>", "<a_12> <b_0> <c_1>"]
    tokenizer = bert_like(["soap"])
    with pytest.raises(DataError, match="add_tokens"):
        codes_as_tokens(codes, tokenizer)
    tokenizer.add_tokens(identifiers.new_pieces(tokenizer))
    assert spelled(codes_as_tokens(codes, tokenizer)) == spelled(identifiers)
    with pytest.raises(DataError, match="26 levels"):
        codes_as_tokens(Codes(np.zeros((1, 26), dtype=int)))


def test_items_are_named_by_any_kind():
    catalog = Catalog(
        pa.table({"item_id": list("abcde"), "title": TEXTS, "kind": ["x", "x", "y", "y", "y"]}), ("title",)
    )
    codes = Codes(np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]))
    lexicon = tfidf_lexicon(catalog.texts(), codes)
    lexical = name_items(LexicalIdentifiers(distinct_siblings=True), catalog, codes, lexicon)
    named = without_field_names(lexicon, catalog)
    assert spelled(lexical) == spelled(Identifiers.from_lexicon(named, codes, distinct_siblings=True))
    assert not any("title" in name for name in spelled(lexical)), "the name of the field is no name of an item"
    assert spelled(name_items(TextIdentifiers(field="kind"), catalog)) == ["x 0", "x 1", "y 0", "y 1", "y 2"]
    assert spelled(name_items(CodeIdentifiers(), catalog, codes))[4] == "<a_1> <b_1>"
    assert name_items(KeywordIdentifiers(cut="shortest-unique"), catalog).spelled(3) == ["mint"]
    with pytest.raises(SettingsError, match="'lexical' need codes and a lexicon"):
        name_items(LexicalIdentifiers(), catalog, codes)
    with pytest.raises(SettingsError, match="'codes' need codes;"):
        name_items(CodeIdentifiers(), catalog)

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers, check_identifiers, spell
from lexirec.semantic_ids.lexicon.lexicon import tfidf_lexicon
from tests.worlds.pieces import SPECIAL, bert_like

TEXTS = ["rose soap", "rose soap", "rose soap bar", "mint tea", "mint tea cup", "plain"]
CODES = Codes(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 0]]))


def spelled(identifiers):
    return ["|".join(identifiers.spelled(item)) for item in range(len(identifiers))]


def test_equal_paths_get_counters_in_catalogue_order():
    identifiers = Identifiers.from_lexicon(tfidf_lexicon(TEXTS, CODES), CODES)
    assert spelled(identifiers)[:3] == ["rose|soap|0", "rose|soap|1", "rose|bar|soap"]
    assert identifiers.longest == 3
    assert identifiers.lengths.tolist() == [len(identifiers.spelled(item)) for item in range(6)]
    assert set(identifiers.pieces) == {piece for item in range(6) for piece in identifiers.spelled(item)}


def test_distinct_siblings_and_the_shortest_unique_cut():
    lexicon = tfidf_lexicon(TEXTS, CODES)
    full = Identifiers.from_lexicon(lexicon, CODES, distinct_siblings=True)
    cut = Identifiers.from_lexicon(lexicon, CODES, distinct_siblings=True, cut="shortest-unique")
    for item in range(len(full)):
        assert full.spelled(item)[: cut.lengths[item]] == cut.spelled(item)
    assert cut.lengths.sum() < full.lengths.sum()
    first = [identifier[0] for identifier in map(full.spelled, range(6))]
    assert len(set(first[:3])) == len(set(first[3:])) == 1
    assert first[0] != first[3]


def test_tokens_are_the_tokenizers_ids():
    tokenizer = bert_like(["rose", "soap", "bar", "mint", "tea", "cup", "pl", "##ain", "0", "1"])
    lexicon = tfidf_lexicon(TEXTS, CODES, tokenizer)
    identifiers = Identifiers.from_lexicon(lexicon, CODES, tokenizer)
    known = tokenizer.get_vocab()
    assert identifiers.tokens[1].tolist() == [known["rose"], known["soap"], known["1"]]
    assert identifiers.pieces[: len(SPECIAL)] == tuple(SPECIAL)
    compact = Identifiers.from_lexicon(lexicon, CODES)
    assert (compact.in_vocabulary(tokenizer).tokens == identifiers.tokens).all()


def test_pieces_a_tokenizer_lacks_are_named():
    identifiers = Identifiers(np.array([[0, 1], [1, -1]]), ("<a_0>", "soap"))
    tokenizer = bert_like(["soap"])
    assert identifiers.new_pieces(tokenizer) == ["<a_0>"]
    with pytest.raises(DataError, match="'<a_0>', are not in the tokenizer's vocabulary"):
        identifiers.in_vocabulary(tokenizer)
    tokenizer.add_tokens(identifiers.new_pieces(tokenizer))
    assert identifiers.in_vocabulary(tokenizer).tokens.tolist() == [[5, 4], [4, -1]]


def test_items_without_any_term_are_counted_at_the_root():
    identifiers = spell(np.array([[-1, -1], [0, 1], [-1, -1]], dtype=np.int32), ("a", "b"))
    assert spelled(identifiers) == ["0", "a|b", "1"]


def test_counters_pass_over_pieces_that_tell_others_apart():
    identifiers = spell(np.array([[0, -1], [0, 1], [0, -1]], dtype=np.int32), ("5", "0"))
    assert spelled(identifiers) == ["5|1", "5|0", "5|2"]


def test_a_tokenizer_without_long_numbers_counts_in_its_digits():
    tokenizer = bert_like(["a", "0", "1", "2"])
    identifiers = spell(np.zeros((5, 1), dtype=np.int32), ("a",), tokenizer)
    assert spelled(identifiers) == ["a|0|0", "a|0|1", "a|0|2", "a|1|0", "a|1|1"]


def test_a_tokenizer_without_bare_numbers_counts_with_marked_ones():
    tokenizer = bert_like(["a", "▁1", "▁0"])
    assert spelled(spell(np.zeros((2, 1), dtype=np.int32), ("a",), tokenizer)) == ["a|▁0", "a|▁1"]
    with pytest.raises(DataError, match="2 items share one identifier and only 0 counter tokens"):
        spell(np.zeros((2, 1), dtype=np.int32), ("a",), bert_like(["a"]))


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("kind", ["tree", "residual"])
def test_short_texts_and_crowded_cells_still_give_every_item_a_name(distinct, kind):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["rose", "soap", "mint", "tea"], rng.integers(0, 4))) for _ in range(80)]
    codes = Codes(np.stack([rng.integers(0, 4, 80), rng.integers(0, 3, 80), rng.integers(0, 2, 80)], axis=1), kind)
    lexicon = tfidf_lexicon(texts, codes)
    full = Identifiers.from_lexicon(lexicon, codes, distinct_siblings=distinct)
    cut = Identifiers.from_lexicon(lexicon, codes, distinct_siblings=distinct, cut="shortest-unique")
    assert len(set(spelled(full))) == len(set(spelled(cut))) == 80
    assert all(long.startswith(short) for long, short in zip(spelled(full), spelled(cut), strict=True))
    assert cut.lengths.sum() <= full.lengths.sum()


def test_saved_identifiers_come_back(tmp_path):
    identifiers = Identifiers(np.array([[7, 2, -1], [2, 7, 3], [3, -1, -1]]), tuple("abcdefgh"))
    identifiers.save(tmp_path)
    loaded = Identifiers.load(tmp_path)
    assert (loaded.tokens == identifiers.tokens).all()
    assert loaded.tokens.dtype == np.int32
    assert spelled(loaded) == ["h|c", "c|h|d", "d"]
    (tmp_path / "identifiers.parquet").unlink()
    with pytest.raises(ArtifactError, match="no identifiers"):
        Identifiers.load(tmp_path)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([[0, 1], [-1, -1]], "item 1 has no identifier"),
        ([[0, 1], [0, 1]], "'a\\|b' of item 0 is also that of item 1"),
        ([[0, 1], [0, -1]], "'a' of item 1 is a prefix of that of item 0"),
        ([[-1, 1], [0, -1]], "only after the last token"),
        ([[2, 1], [0, -1]], "indices of 2 pieces"),
        ([[0.5]], "give integers"),
    ],
)
def test_what_cannot_be_identifiers_is_refused(tokens, said):
    with pytest.raises(DataError, match=said):
        Identifiers(np.array(tokens), ("a", "b"))


def test_messages_name_items_by_id_where_ids_are_known():
    with pytest.raises(DataError, match="of item 'B01' is also that of item 'B02'"):
        check_identifiers(np.array([[0], [0]]), ("a",), ["B01", "B02"])

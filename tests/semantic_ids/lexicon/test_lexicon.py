import math
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, LexiconLevel, TfIdfLexicon, tfidf_lexicon
from tests.worlds.pieces import bert_like

TEXT = "red blue green soap towel brush comb mirror cream lotion nail polish hair dry oil rose mint lime"
WORDS = TEXT.split()


def shop(items=60, seed=0):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(2, 12))) for _ in range(items)]
    values = np.stack([rng.integers(0, 3, items), rng.integers(0, 4, items), np.arange(items)], axis=1)
    return texts, Codes(values)


def by_hand(texts, members, first=128):
    """Score a cell as the specification says, one dictionary at a time."""
    m, df = len(texts), Counter(word for text in texts for word in set(text.split()))
    total = Counter()
    for member in members:
        for word, count in Counter(texts[member].split()[:first]).items():
            total[word] += count * math.log(1 + (m - df[word] + 0.5) / (df[word] + 0.5))
    return {word: score / len(members) for word, score in total.items()}


@pytest.mark.parametrize("kind", ["tree", "residual"])
@pytest.mark.parametrize("first", [128, 5])
def test_cells_have_the_mean_scores_of_their_items(kind, first):
    texts, codes = shop()
    codes = Codes(codes.values, kind)
    lexicon = tfidf_lexicon(texts, codes, settings=TfIdfLexicon(tf_pieces=first))
    for level in range(codes.levels):
        for cell in range(len(codes.counts(level))):
            expected = by_hand(texts, np.flatnonzero(codes.cells(level) == cell), first)
            found = dict(zip(lexicon.terms(level, cell), lexicon.scores(level, cell), strict=True))
            assert found == pytest.approx(expected)
            assert list(lexicon.scores(level, cell)) == sorted(found.values(), reverse=True)


def test_a_tokenizers_pieces_rank_as_words_do():
    texts, codes = shop()
    words = tfidf_lexicon(texts, codes)
    pieces = tfidf_lexicon(texts, codes, bert_like(sorted(WORDS)))
    for level in range(codes.levels):
        assert words.terms(level, 0) == pieces.terms(level, 0)


def test_unusable_terms_take_up_places_among_the_candidates():
    texts = ["q q q q soap soap towel", "red", "blue"]
    codes = Codes(np.zeros((3, 1), dtype=int), "tree")
    assert tfidf_lexicon(texts, codes, settings=TfIdfLexicon(candidates=2)).terms(0, 0) == ["soap"]


def test_descriptions_are_words_unless_somebody_wrote_them():
    texts, codes = shop()
    lexicon = tfidf_lexicon(texts, codes)
    assert lexicon.description(0, 1) == ", ".join(lexicon.terms(0, 1, 8))
    level = lexicon.levels[0]
    written = tuple(f"cell {cell}" for cell in range(len(level)))
    described = Lexicon((LexiconLevel(level.offsets, level.terms, level.scores, written),), lexicon.vocabulary)
    assert described.description(0, 1) == "cell 1"


def test_saved_lexicons_come_back_with_repeated_levels_stored_once(tmp_path):
    texts, codes = shop()
    deep = Codes(np.hstack([codes.values, np.zeros((len(codes), 2), dtype=np.int32)]))
    lexicon = tfidf_lexicon(texts, deep)
    assert lexicon.levels[4] is lexicon.levels[2]
    lexicon.save(tmp_path)
    loaded = Lexicon.load(tmp_path)
    assert len(loaded.levels) == 5
    for level in range(5):
        for cell in range(len(deep.counts(level))):
            assert loaded.terms(level, cell) == lexicon.terms(level, cell)
            assert (loaded.scores(level, cell) == lexicon.scores(level, cell)).all()
    assert len(pq.read_table(tmp_path / "lexicon.parquet")) == sum(len(level) for level in lexicon.levels[:3])


def test_what_does_not_fit_is_refused(tmp_path):
    texts, codes = shop()
    with pytest.raises(DataError, match="there are 59 texts for the codes of 60 items"):
        tfidf_lexicon(texts[:-1], codes)
    lexicon = tfidf_lexicon(texts, codes)
    with pytest.raises(DataError, match="no level 3"):
        lexicon.terms(3, 0)
    with pytest.raises(DataError, match="no cell 3; allowed: 0 to 2"):
        lexicon.terms(0, 3)
    codes.save(tmp_path)
    (tmp_path / "codes.parquet").rename(tmp_path / "lexicon.parquet")
    with pytest.raises(ArtifactError, match="no lexicon"):
        Lexicon.load(tmp_path)


def test_written_keywords_keep_their_order_and_survive_saving(tmp_path):
    said = [[(["zinc", "axe", "zinc"], "First."), (["axe"], "Second.")], [(["bolt"], "Third.")]]
    lexicon = Lexicon.written(said)
    lexicon.save(tmp_path)
    for one in (lexicon, Lexicon.load(tmp_path)):
        assert [
            [(one.terms(level, cell), one.description(level, cell)) for cell in range(2 - level)] for level in range(2)
        ] == said
        rare, common = math.log1p(1.5 / 1.5), math.log1p(0.5 / 2.5)  # in one of two cells, in both
        assert one.scores(0, 0).tolist() == pytest.approx([rare, common, rare])

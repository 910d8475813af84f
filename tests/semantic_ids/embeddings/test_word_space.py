import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from lexirec.core.errors import ArtifactError
from lexirec.semantic_ids.embeddings.word_space import WORDS, WordSpace

TEXTS = ["A red kettle, red and round", "blue kettle & blue lamp", "red lamp", "Äpfel und Öl über 24", "", "a b c"]


@pytest.mark.parametrize("options", [{"stop_words": "english"}, {"min_df": 2}, {}])
def test_rows_are_those_of_scikit_learn(options):
    vectoriser = TfidfVectorizer(sublinear_tf=True, **options).fit(TEXTS)
    others = [*TEXTS, "red red red lamp nobody knows", "the of and"]
    found = WordSpace.of(vectoriser).rows(others)
    np.testing.assert_allclose(found.toarray(), vectoriser.transform(others).toarray(), atol=1e-12)


def test_what_is_saved_is_read(tmp_path):
    vectoriser = TfidfVectorizer(sublinear_tf=True).fit(TEXTS)
    axes = np.random.default_rng(0).normal(size=(3, len(vectoriser.vocabulary_)))
    space = WordSpace.of(vectoriser, axes)
    space.save(tmp_path)
    loaded = WordSpace.load(tmp_path)
    np.testing.assert_array_equal(loaded.embed(TEXTS), space.embed(TEXTS))
    assert loaded.words == space.words


def test_older_folders_have_none_and_damage_is_told(tmp_path):
    assert WordSpace.load(tmp_path) is None
    (tmp_path / WORDS).write_text("no parquet")
    with pytest.raises(ArtifactError, match=r"words\.parquet is damaged"):
        WordSpace.load(tmp_path)

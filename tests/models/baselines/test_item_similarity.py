import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.item_similarity import Ease, EaseSettings, ItemKnn, ItemKnnSettings
from lexirec.models.baselines.popularity import Popularity

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 0], [2, 3], [3, 2, 0], [1]])
BINARY = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], dtype=float)
HISTORIES = Sequences.from_lists([[1, 3], [0]])


def test_popularity_ignores_the_history():
    scores = Popularity().fit(TRAIN, 5).scores(HISTORIES)
    assert scores[0].tolist() == scores[1].tolist() == pytest.approx([3 / 11, 3 / 11, 3 / 11, 2 / 11, 0])


def test_item_knn_sums_cosines():
    scores = ItemKnn(ItemKnnSettings(history_decay=0.5)).fit(TRAIN, 5).scores(HISTORIES)
    lengths = np.maximum(np.linalg.norm(BINARY, axis=0), 1e-9)
    cosine = (BINARY.T @ BINARY) / np.outer(lengths, lengths)
    np.fill_diagonal(cosine, 0)
    assert np.allclose(scores, [0.5 * cosine[1] + cosine[3], cosine[0]], atol=1e-6)


def test_item_knn_keeps_only_the_nearest():
    similarities = ItemKnn(ItemKnnSettings(neighbors=1)).fit(TRAIN, 5).similarities.toarray()
    assert (np.count_nonzero(similarities, axis=1) == [1, 1, 1, 1, 0]).all()
    assert similarities[3, 2] == pytest.approx(2 / np.sqrt(2 * 3))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_ease_is_its_closed_form(precision):
    settings = EaseSettings(regularization=2.0, history_decay=1.0, precision=precision)
    inverse = np.linalg.inv(BINARY.T @ BINARY + 2.0 * np.eye(5))
    expected = np.eye(5) - inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    scores = Ease(settings).fit(TRAIN, 5).scores(HISTORIES)
    assert np.allclose(scores, [expected[1] + expected[3], expected[0]], atol=1e-5)


def test_ease_refuses_a_catalogue_that_does_not_fit_memory():
    with pytest.raises(DataError, match=r"ease: 150,000 items need about 251 GiB .* allowed are max_items = 30,000"):
        Ease().fit(TRAIN, 150_000)

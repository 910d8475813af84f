import pytest

from lexirec.core.errors import DataError
from lexirec.data import neighbors, sparse_neighbors
from lexirec.models.baselines.text_neighbors import text_neighbors

TEXTS = [
    f"{colour} {thing} of {stuff}"
    for colour in ("red", "blue")
    for thing in ("lamp", "rug")
    for stuff in ("oak", "tin")
]


def test_texts_with_words_in_common_are_near():
    found = text_neighbors(TEXTS, 3)
    assert found.recall is None
    assert all(
        len(set(TEXTS[item].split()) & set(TEXTS[best].split())) == 3 for item, best in enumerate(found.items[:, 0])
    )


def test_a_large_catalogue_takes_the_index_and_finds_the_same(monkeypatch):
    exact = text_neighbors(TEXTS, 3)
    monkeypatch.setattr(neighbors, "LARGE", 4)
    monkeypatch.setattr(sparse_neighbors, "EXACT_WORK", 1)
    found = text_neighbors(TEXTS, 3)
    assert found.recall == 1.0
    assert found.scores == pytest.approx(exact.scores, abs=1e-6)


def test_texts_without_a_common_word_are_refused():
    with pytest.raises(DataError, match="no word stands in two of the 2 item texts"):
        text_neighbors(["lamp", "rug"], 2)

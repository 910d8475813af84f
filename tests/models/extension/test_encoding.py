import logging

import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.models.extension.encoding import ItemEncoder, nearest_of
from lexirec.semantic_ids.embeddings.svd import LsaSpace
from tests.worlds.grown_shop import new_rows, trained


def test_trained_items_keep_their_vectors_and_equal_texts_get_equal_ones():
    _, artifacts = trained("old-gram", "model")
    encoder = ItemEncoder(artifacts, {})
    catalog = artifacts.catalog
    np.testing.assert_array_equal(encoder.vectors(catalog), artifacts.vectors)
    rows = catalog.take(np.arange(5))
    renamed = type(catalog)(rows.table.set_column(0, "item_id", [[f"x{n}" for n in range(5)]]), catalog.text_fields)
    np.testing.assert_allclose(encoder.vectors(renamed), artifacts.vectors[:5], atol=1e-5)


def test_an_older_store_without_a_word_space_is_fitted_again_and_says_so(caplog):
    _, artifacts = trained("old-gram", "model")
    catalog = artifacts.catalog
    rows = type(catalog)(new_rows(catalog, [1, 2]), catalog.text_fields)
    with caplog.at_level(logging.INFO, logger="lexirec"):
        logging.getLogger("lexirec").propagate = True
        vectors = ItemEncoder(artifacts, {}).vectors(rows)
    assert "its word space is not in the store" in caplog.text
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_stored_space_gives_the_same_vectors(tmp_path):
    _, artifacts = trained("old-gram", "model")
    texts = artifacts.catalog.texts()
    space = LsaSpace.fit(texts, 12)
    space.stored().save(tmp_path)
    from lexirec.semantic_ids.embeddings.word_space import WordSpace

    np.testing.assert_allclose(WordSpace.load(tmp_path).embed(texts), space.embed(texts), atol=1e-10)


@pytest.mark.parametrize(("kind", "origin"), [("precomputed", "read from a file"), ("images", "made from pictures")])
def test_vectors_from_files_and_pictures_need_a_file(kind, origin):
    _, artifacts = trained("old-gram", "model")
    from dataclasses import replace

    settings = {**artifacts.settings, "vectors.text": {"kind": kind}}
    encoder = ItemEncoder(replace(artifacts, settings=settings), {})
    catalog = artifacts.catalog
    with pytest.raises(DataError, match=f"were {origin}, .*--vectors text=FILE"):
        encoder.vectors(type(catalog)(new_rows(catalog, [1]), catalog.text_fields))


def test_nearest_by_cosine():
    found = nearest_of(np.array([[1.0, 0.1], [0, 0]]), np.array([[0, 1.0], [2, 0], [1, 1]]), 2)
    assert found.items.tolist() == [[1, 2], [-1, -1]]
    assert found.scores[1].tolist() == [0, 0]

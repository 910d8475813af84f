import numpy as np

from lexirec.models.extension.artifacts import Artifacts
from lexirec.models.extension.naming import Named, means_as_codebook, placing_of, semantic_ids_of
from lexirec.models.extension.placing import CodePlacing, TextPlacing, TreePlacing
from lexirec.semantic_ids.codes import Codes
from tests.worlds.grown_shop import trained


def placing(name, **changes):
    recommender, artifacts = trained(name, "model")
    settings = {**artifacts.settings, "identifiers": {**artifacts.settings["identifiers"], **changes}}
    changed = Artifacts(artifacts.catalog, artifacts.folders, settings)
    tokenizer = recommender.backbone.tokenizer
    named = Named(tokenizer, recommender.identifiers.tokens, artifacts.vectors)
    return placing_of(artifacts.catalog.take(np.arange(2)), named, changed)


def test_the_way_follows_what_identifiers_are_made_of():
    assert isinstance(placing("old-tsrec"), CodePlacing)
    tree = placing("old-gram")
    assert isinstance(tree, TreePlacing)
    assert tree.levels == 0  # identifiers are cut where they are unique
    assert placing("old-gram", cut="full").levels == 3
    texts = placing("old-gram", kind="text", field="title", length=5)
    assert isinstance(texts, TextPlacing)
    assert texts.length == 5
    assert all(texts.wishes)
    assert isinstance(placing("old-gram", kind="keyword"), TextPlacing)


def test_own_terms_are_words_of_the_item():
    recommender, artifacts = trained("old-gram", "model")
    tree = placing("old-gram")
    pieces = recommender.backbone.tokenizer.convert_ids_to_tokens(tree.wishes(0, 0)[:3])
    text = artifacts.catalog.texts()[0].lower()
    assert all(piece.replace("▁", "") in text for piece in pieces)


def test_a_codebook_is_rebuilt_from_means_of_what_is_left():
    vectors = np.array([[0, 0], [0, 2], [8, 0], [8, 2]], dtype=np.float32)
    codes = Codes(np.array([[0, 0], [0, 1], [3, 0], [3, 1]]), "residual")
    book = means_as_codebook(codes, vectors, 2)
    np.testing.assert_allclose(book.centroids[0][[0, 3]], [[0, 1], [8, 1]])
    np.testing.assert_allclose(book.centroids[1], [[0, -1], [0, 1]])
    assert book.assign(vectors).tolist() == codes.values.tolist()


def test_semantic_ids_are_read_from_tokens():
    recommender, _ = trained("old-tsrec", "model")
    tokens = recommender.identifiers.tokens[:4]
    found = semantic_ids_of([[t for t in row if t >= 0] for row in tokens.tolist()], recommender.backbone.tokenizer, 3)
    np.testing.assert_array_equal(found, recommender.semantic_ids[:4])

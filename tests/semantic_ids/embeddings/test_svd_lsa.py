import numpy as np
import pyarrow as pa
import pytest

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.embeddings.item_embeddings import LsaVectors, embed_items, embed_items_like, lsa, normalized
from lexirec.semantic_ids.embeddings.svd import LsaSpace

TEXTS = [f"{kind} {thing}" for kind in ("rose", "mint", "oak") for thing in ("soap", "tea", "bowl", "lamp")] * 5


@pytest.mark.parametrize("dimensions", [3, 64])
def test_a_space_puts_its_own_texts_where_lsa_has_them(dimensions):
    space = LsaSpace.fit(TEXTS, dimensions)
    assert np.array_equal(normalized(space.embed(TEXTS)), lsa(TEXTS, dimensions))
    assert np.allclose(space.embed(TEXTS[:3]), space.embed(TEXTS)[:3])


@pytest.mark.parametrize("dimensions", [3, 64])
def test_other_texts_are_told_by_known_words_alone(dimensions):
    space = LsaSpace.fit(TEXTS, dimensions)
    known, same, none = normalized(space.embed(["rose soap", "rose novel soap", "novel"]))
    assert known == pytest.approx(same)
    assert not none.any()


def test_a_second_catalog_is_embedded_in_the_space_of_the_first():
    first = Catalog(pa.table({"item_id": [str(i) for i in range(60)], "title": TEXTS, "brand": TEXTS}), ("title",))
    second = Catalog(pa.table({"item_id": ["x", "y"], "title": [TEXTS[1], "novel"]}), ("title",))
    settings = LsaVectors(dimensions=4)
    mine, theirs = embed_items(first, settings), embed_items_like(second, first, settings)
    assert theirs[0] == pytest.approx(mine[1])
    assert embed_items(second, settings).shape[1] < theirs.shape[1]
    by_brand = LsaVectors(dimensions=4, fields=("brand",))  # which the second catalog does not have
    assert embed_items_like(second, first, by_brand)[0] @ embed_items(first, by_brand)[1] > 0.95

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.contrastive_lexicon import contrast, contrastive_lexicon
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon

TITLES = [
    "Acme claw hammer for wood", "Acme steel hammer", "rubber hammer wood",
    "Bolt drill bit for wood", "steel drill", "masonry drill",
    "blue paint for wood", "red paint", "white paint spray",
]  # fmt: skip
CATEGORIES = [["Shop", "Hammers"]] * 3 + [["Shop", "Drills"]] * 3 + [["Shop", "Paints"]] * 3


def shop(**columns):
    given = {"item_id": [str(n) for n in range(9)], "title": TITLES, "categories": CATEGORIES, **columns}
    return Catalog(pa.table(given), ("title", "categories"))


def codes():
    return Codes(np.stack([np.repeat([7, 2, 5], 3), np.tile([0, 1, 2], 3)], axis=1), "residual")


@pytest.mark.parametrize("families", [None, [0, 0, 0, 0, 1, 1]])
def test_scores_are_share_times_log_ratio(families):
    rng = np.random.default_rng(0)
    presence = (rng.random((12, 5)) < 0.5).astype(float)
    groups = np.repeat(np.arange(6), 2)
    family = np.zeros(6, dtype=int) if families is None else np.array(families)
    found = contrast(sparse.csr_array(presence), groups, None if families is None else family[groups]).toarray()
    for group in range(6):
        inside, around = groups == group, (family[groups] == family[group]) & (groups != group)
        for term in range(5):
            k, others = presence[inside, term].sum(), presence[around, term].sum()
            p, q = k * k / (k + 1) / inside.sum(), (others + 1) / (around.sum() + 1)
            expected = max(p * math.log(p / q), 0) if k else 0
            assert found[group, term] == pytest.approx(expected)


def test_cells_are_named_by_what_the_others_have_not():
    lexicon = contrastive_lexicon(shop(), codes(), ContrastiveLexicon(keywords=3))
    names = [lexicon.terms(0, cell, 1)[0] for cell in range(3)]  # cells by code: 2, 5, 7
    assert names == ["drill", "paint", "hammer"]
    assert all("wood" not in lexicon.terms(0, cell) for cell in range(3))
    scores = lexicon.scores(0, 0)
    assert len(lexicon.terms(0, 0)) <= 3
    assert scores.tolist() == sorted(scores, reverse=True)


def test_descriptions_tell_of_categories_terms_and_typical_items_without_brands():
    brand = ["Acme", "Acme", None, "Bolt", *[None] * 5]
    lexicon = contrastive_lexicon(shop(brand=brand), codes(), ContrastiveLexicon(keywords=3))
    said = lexicon.description(0, 2)
    assert "Products of the kind hammers." in said
    assert "steel hammer" in said
    assert "acme" not in said.lower()
    assert all(lexicon.description(1, cell) for cell in range(3))


def test_under_parents_a_token_is_told_from_its_siblings():
    titles = ["big hammer", "small hammer", "big drill", "small drill", "big paint", "small paint"]
    catalog = Catalog(pa.table({"item_id": list("abcdef"), "title": titles}), ("title",))
    given = Codes(np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]), "residual")
    plain = contrastive_lexicon(catalog, given, ContrastiveLexicon())
    conditioned = contrastive_lexicon(catalog, given, ContrastiveLexicon(conditioned=True))
    assert conditioned.terms(1, 0)[0] == "big"
    assert conditioned.terms(1, 1)[0] == "small"
    assert conditioned.terms(0, 1) == plain.terms(0, 1)  # the first level has no parents
    assert conditioned.scores(1, 0)[0] != plain.scores(1, 0)[0]


def test_a_cell_of_all_items_has_a_description_though_nothing_sets_it_apart():
    lexicon = contrastive_lexicon(shop(), Codes(np.zeros((9, 1), dtype=int), "residual"), ContrastiveLexicon())
    assert lexicon.terms(0, 0) == []
    assert lexicon.description(0, 0).startswith("Typical ones: ")


def test_only_the_levels_asked_for_are_named_and_it_survives_saving(tmp_path):
    lexicon = contrastive_lexicon(shop(), codes(), ContrastiveLexicon(levels=1))
    lexicon.save(tmp_path)
    loaded = type(lexicon).load(tmp_path)
    assert len(loaded.levels) == 1
    assert loaded.description(0, 1) == lexicon.description(0, 1)


def test_a_catalogue_without_titles_and_categories_will_do():
    catalog = Catalog(pa.table({"item_id": ["a", "b"], "name": ["hammer", "drill"]}), ("name",))
    lexicon = contrastive_lexicon(catalog, Codes(np.array([[0], [1]]), "residual"), ContrastiveLexicon())
    assert lexicon.description(0, 1) == "Typical ones: drill."


@pytest.mark.data
def test_industrial_cells_are_named_in_seconds(data_dir):
    import pyarrow.parquet as pq

    path = data_dir / "industrial18" / "items.parquet"
    catalog = Catalog.read(path, text=["title", "categories", "description"])
    sids = pq.read_table(path, columns=["sid"])["sid"].to_pylist()
    values = np.array([[int(part.split("_")[1]) for part in sid.strip("<>").split("><")] for sid in sids])
    lexicon = contrastive_lexicon(catalog, Codes(values, "residual"), ContrastiveLexicon())
    assert [len(level) for level in lexicon.levels] == [48, 256, 256]
    cell = int(np.searchsorted(np.unique(values[:, 0]), 236))
    assert lexicon.terms(0, cell, 1) == ["switch"]
    assert min(len(lexicon.terms(level, cell)) for level, size in enumerate([48, 256, 256]) for cell in range(size)) > 5

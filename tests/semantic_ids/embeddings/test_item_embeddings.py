import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.embeddings.item_embeddings import (
    LsaVectors,
    PrecomputedVectors,
    concatenate,
    embed_items,
    lsa,
    normalized,
    read_vectors,
)

IDS = ["a", "b", "c"]
VECTORS = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float64)


@pytest.fixture
def catalog():
    return Catalog(pa.table({"item_id": IDS, "title": ["rose soap", "mint tea", "rose soap bar"]}), ("title",))


def test_lsa_puts_texts_of_one_topic_together():
    soap, tea = ["rose", "soap", "bath", "skin", "foam"], ["mint", "tea", "cup", "leaf", "brew"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(soap if item < 50 else tea, 3, replace=False)) for item in range(100)]
    vectors = lsa(texts, 2)
    cosines = vectors @ vectors.T
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    assert cosines[:50, :50].min() > 0.9
    assert np.abs(cosines[:50, 50:]).max() < 0.1
    assert (lsa(texts, 2) == vectors).all()


def test_lsa_of_tiny_catalogues_keeps_all_cosines():
    texts = ["rose soap", "mint tea", "rose tea cup"]
    vectors = lsa(texts, 64)
    assert vectors.shape[0] == 3
    assert vectors.shape[1] <= 5
    cosines = vectors @ vectors.T
    assert cosines[0, 1] == pytest.approx(0, abs=1e-6)
    assert 0 < cosines[0, 2] < cosines.diagonal().min()
    assert lsa(["rose"], 8).tolist() == [[1.0]]
    assert lsa(["the", "and of"], 8).shape[0] == 2  # nothing but stop words


def test_texts_without_words_give_zeros_or_an_error():
    assert not lsa(["rose soap", "", "mint tea"], 2)[1].any()
    with pytest.raises(DataError, match="hold no word"):
        lsa(["", "?"], 4)


@pytest.mark.parametrize("form", ["npy", "npz", "npz-ids", "lists", "fixed", "columns"])
def test_every_form_is_read_in_catalogue_order(tmp_path, catalog, form):
    order = [2, 0, 1]
    ids = ["further", *(IDS[place] for place in order)]
    mixed = np.vstack([[[9, 9]], VECTORS[order]])
    path = tmp_path / f"vectors.{'npz' if form.startswith('npz') else 'npy' if form == 'npy' else 'parquet'}"
    match form:
        case "npy":
            np.save(path, VECTORS)
        case "npz":
            np.savez(path, vectors=VECTORS)
        case "npz-ids":
            np.savez(path, vectors=mixed, item_id=np.array(ids))
        case "lists":
            pq.write_table(pa.table({"item_id": ids, "image": mixed.tolist()}), path)
        case "fixed":
            pq.write_table(
                pa.table({"item_id": ids, "image": pa.array(mixed.tolist(), pa.list_(pa.float32(), 2))}), path
            )
        case "columns":
            pq.write_table(pa.table({"d0": mixed[:, 0].astype(int), "item_id": ids, "d1": mixed[:, 1]}), path)
    found = read_vectors(path, catalog)
    assert found.dtype == np.float32
    assert (found == VECTORS).all()


def bad_files(folder):
    np.save(folder / "short.npy", VECTORS[:2])
    np.save(folder / "flat.npy", VECTORS[0])
    np.save(folder / "nan.npy", np.where(VECTORS == 4, np.nan, VECTORS))
    np.save(folder / "pickled.npy", np.array([{}, {}, {}], dtype=object), allow_pickle=True)
    np.save(folder / "words.npy", np.array([["a"], ["b"], ["c"]]))
    np.savez(folder / "unnamed.npz", VECTORS)
    tables = {
        "no-id": {"v": VECTORS.tolist()},
        "missing": {"item_id": ["a", "z"], "v": VECTORS[:2].tolist()},
        "twice": {"item_id": ["a", "b", "c", "b"], "v": [*VECTORS.tolist(), [7.0, 8.0]]},
        "ragged": {"item_id": IDS, "v": [[1.0, 2], [3.0], [4.0, 5]]},
        "null": {"item_id": IDS, "v": [[1.0, 2], [3.0, None], [4.0, 5]]},
        "text": {"item_id": IDS, "d0": [1.0, 2, 3], "title": IDS},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1")
    (folder / "broken.npy").write_bytes(b"")
    (folder / "vectors.csv").write_text("1,2")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.npy", "no such file"),
        ("vectors.csv", "not from '.csv'"),
        ("short.npy", "has 2 rows, the catalog 3 items"),
        ("flat.npy", r"shape \(2,\)"),
        ("nan.npy", r"item 'b' \(row 1\) holds NaN"),
        ("pickled.npy", "without pickle"),
        ("broken.npy", "without pickle"),
        ("words.npy", "matrix of numbers"),
        ("unnamed.npz", "arrays `vectors`"),
        ("broken.parquet", "no Parquet file"),
        ("no-id.parquet", "no column 'item_id'; its columns are v"),
        ("missing.parquet", "no vector for 2 items of the catalog, such as 'b', 'c'"),
        ("twice.parquet", "item 'b' occurs more than once"),
        ("ragged.parquet", "item 'b' has 1 numbers, item 'a' has 2"),
        ("null.parquet", r"item 'b' \(row 1\) holds NaN, null"),
        ("text.parquet", "column 'title' is string"),
    ],
)
def test_files_that_cannot_be_vectors_are_refused_in_one_line(tmp_path, catalog, name, said):
    bad_files(tmp_path)
    with pytest.raises(DataError, match=said) as caught:
        read_vectors(tmp_path / name, catalog)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_cosines_of_joined_sources_are_weighted_means():
    rng = np.random.default_rng(0)
    text, image = rng.normal(size=(4, 3)), rng.normal(size=(4, 5)) * 100
    joined = concatenate([text, image], [1, 3])
    expected = (normalized(text) @ normalized(text).T + 3 * normalized(image) @ normalized(image).T) / 4
    assert joined.shape == (4, 8)
    assert joined @ joined.T == pytest.approx(expected, abs=1e-5)
    with pytest.raises(DataError, match=r"\[4, 3\] items"):
        concatenate([text, image[:3]])
    with pytest.raises(DataError, match="weights of 2 sources"):
        concatenate([text, image], [1])


def test_embed_follows_the_settings(tmp_path, catalog):
    np.save(tmp_path / "v.npy", VECTORS)
    assert (embed_items(catalog) == lsa(catalog.texts())).all()
    assert embed_items(catalog, LsaVectors(dimensions=2)).shape == (3, 2)
    assert embed_items(catalog, PrecomputedVectors(path=tmp_path / "v.npy")) == pytest.approx(normalized(VECTORS))
    with pytest.raises(DataError, match="no settings of vectors"):
        embed_items(catalog, 3)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1.0])
def test_lengths_of_very_large_and_very_small_numbers_are_one_too(scale):
    vectors = np.array([[3, 4], [0, 0], [1, 0]], dtype=np.float32)
    vectors[0] *= np.float32(scale)
    np.testing.assert_allclose(normalized(vectors), [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)

import numpy as np
import pyarrow as pa
import pytest

from lexirec.data.catalog import Catalog
from lexirec.pipeline.components import CoOccurrenceNeighbors, MemoryNeighbors, ToyShop, VectorNeighbors
from lexirec.pipeline.stages.baselines import prepare_neighbors
from lexirec.pipeline.stages.data import item_names, load_catalog, load_split, prepare_data, write_summary
from lexirec.pipeline.stages.identifiers import joined_vectors, load_saved_tokenizer, prepare_tokenizer, prepare_vectors
from lexirec.pipeline.visible import visible
from tests.worlds.small_run import experiment, small_run


@pytest.fixture(scope="module")
def folders():
    return {name: step.folder for name, step in small_run()[1].stages.items()}


def test_the_toy_shop_is_the_same_from_one_seed(tmp_path, folders):
    shop = experiment().data
    assert isinstance(shop, ToyShop)
    prepare_data(shop, {}, tmp_path)
    assert load_catalog(tmp_path).digest == load_catalog(folders["data"]).digest
    assert load_split(tmp_path).protocol == load_split(folders["data"]).protocol
    assert "split: leave-last-out" in (tmp_path / "summary.md").read_text()


def test_vectors_of_several_sources_are_joined(tmp_path, folders):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "vectors.npy", np.eye(100, 4, dtype=np.float32))
    joined = joined_vectors({"data": tmp_path, "vectors.text": folders["vectors.text"], "vectors.own": tmp_path / "a"})
    assert joined.shape == (100, 20)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-5)


def test_precomputed_vectors_are_read_from_the_given_file(tmp_path, folders):
    np.save(tmp_path / "mine.npy", np.full((100, 3), 2.0, dtype=np.float32))
    settings = experiment(vectors={"own": {"kind": "precomputed", "path": str(tmp_path / "elsewhere.npy")}}).vectors
    prepare_vectors(settings["own"], {"file": tmp_path / "mine.npy", "catalog": folders["data"] / "catalog"}, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), 3**-0.5, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [CoOccurrenceNeighbors(k=4), MemoryNeighbors(k=4), MemoryNeighbors(k=4, evidence="vectors"), VectorNeighbors(k=4)],
)
def test_neighbors_of_every_kind(tmp_path, settings):
    prepare_neighbors(settings, visible("neighbors", small_run()[1].stages), tmp_path)
    with np.load(tmp_path / "neighbors.npz") as found:
        assert found["items"].shape == (100, 4)
        assert not (found["items"] == np.arange(100)[:, None]).any()
    assert "have no neighbour" in (tmp_path / "summary.md").read_text()


def test_a_scratch_tokenizer_is_trained_once_and_loads(tmp_path, folders):
    prepare_tokenizer(
        {"name": "scratch:tiny", "vocabulary_size": 300}, {"catalog": folders["data"] / "catalog"}, tmp_path
    )
    tokenizer = load_saved_tokenizer(tmp_path)
    assert tokenizer is not None
    assert 64 < len(tokenizer) <= 300
    assert tokenizer.pad_token_id == 0
    assert load_saved_tokenizer(None) is None


def test_items_without_title_are_called_by_their_id():
    table = pa.table({"item_id": ["a", "b"], "title": ["Chair", None]})
    assert item_names(Catalog(table, ("title",))) == ["Chair", "b"]
    assert item_names(Catalog(table.drop_columns(["title"]), ())) == ["a", "b"]


def test_summaries_hold_lines_and_tables(tmp_path):
    write_summary(tmp_path, "Codes", ["items: 3"], {"Levels": [{"level": 1, "single_share": 0.25}], "Nothing": []})
    assert (tmp_path / "summary.md").read_text() == (
        "# Codes\n\n- items: 3\n\n## Levels\n\n| level | single share |\n| ---: | ---: |\n| 1 | 0.25 |\n"
    )

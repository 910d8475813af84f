import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from lexirec.core.errors import ArtifactError, DataError, TrainingError
from lexirec.data import neighbors
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors, co_occurrence, nearest, pair_counts, read_published, top_k
from lexirec.data.sequences import Sequences

# Few distinct values, so that ties at the k-th place are common.
SCORES = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 12)),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
)


@pytest.fixture
def catalog():
    ids = ["a", "b", "c", "d"]
    return Catalog(pa.table({"item_id": ids, "title": [f"title {i}" for i in ids]}), ("title",))


@given(SCORES, st.integers(1, 14))
def test_top_k_equals_a_full_sort_by_score_then_number(scores, k):
    best, values = top_k(scores, k)
    for row, found, found_values in zip(scores, best, values):
        order = [int(i) for i in np.lexsort((np.arange(len(row)), -row)) if row[i] > -np.inf][:k]
        assert found.tolist() == order + [-1] * (k - len(order))
        assert found_values[: len(order)].tolist() == row[order].tolist()
        assert np.isneginf(found_values[len(order) :]).all()


def test_nearest_ranks_by_angle_without_self():
    vectors = np.array([[1, 0], [10, 1], [0, 3], [-1, 0]], dtype=np.float32)
    found = nearest(vectors, 3)
    assert found.items.tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]]
    assert found.scores[0, 0] == pytest.approx(10 / np.sqrt(101), abs=1e-6)
    assert found.scores[0, 2] == pytest.approx(-1)


def test_an_item_without_direction_has_no_neighbours_and_is_nobodys():
    found = nearest(np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), 2)
    assert found.items.tolist() == [[2, -1], [-1, -1], [0, -1]]
    assert found.scores[1].tolist() == [0, 0]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_blocks_and_sparse_vectors_give_the_same_neighbours(monkeypatch, kind):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    whole = nearest(vectors, 5)
    monkeypatch.setattr(neighbors, "_CELLS", 50 * 7)  # seven items at a time, so that the last block is shorter
    parts = nearest(kind(vectors), 5)
    assert np.array_equal(parts.items, whole.items)
    assert np.allclose(parts.scores, whole.scores, atol=1e-6)


def test_nearest_refuses_nan():
    with pytest.raises(DataError, match="NaN or infinity"):
        nearest(np.array([[1.0, np.nan]]), 1)


def test_pair_counts_by_hand():
    train = Sequences.from_lists([[0, 1, 2], [0, 2], [], [1]])
    counts = pair_counts(train, 4, window=2, gap_decay=0.5, backward=0.25).toarray()
    forward = np.zeros((4, 4))
    forward[0, 1] = forward[1, 2] = 1
    forward[0, 2] = 1 + 0.5  # adjacent in the second row, two apart in the first
    assert np.array_equal(counts, forward + 0.25 * forward.T)


def test_pair_counts_never_join_two_rows():
    assert pair_counts(Sequences.from_lists([[0], [1], [2]]), 3, window=5).nnz == 0
    assert pair_counts(Sequences.from_lists([]), 3).shape == (3, 3)


@given(st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=6), st.integers(1, 8))
def test_pair_counts_equal_the_plain_loop(rows, window):
    expected = np.zeros((6, 6))
    for row in rows:
        for i in range(len(row)):
            for j in range(i + 1, min(i + window, len(row) - 1) + 1):
                expected[row[i], row[j]] += 0.8 ** (j - i - 1)
    assert np.allclose(pair_counts(Sequences.from_lists(rows), 6, window=window, gap_decay=0.8).toarray(), expected)


def test_co_occurrence_prefers_company_over_popularity():
    # 0 and 1 always come together; 2 is everywhere; 3 is alone.
    train = Sequences.from_lists([[0, 1, 2], [1, 0, 2], [2, 4], [2, 5], [2, 4], [3]])
    found = co_occurrence(train, 6, 2)
    assert found.items[0].tolist() == [1, 2]
    assert found.scores[0, 0] == pytest.approx(1.0)
    assert found.items[3].tolist() == [-1, -1]


def test_co_occurrence_leaves_out_the_item_itself():
    found = co_occurrence(Sequences.from_lists([[0, 0, 1], [2, 2]]), 3, 2)
    assert found.items.tolist() == [[1, -1], [0, -1], [-1, -1]]


def test_neighbours_survive_the_disk(tmp_path):
    found = nearest(np.random.default_rng(1).normal(size=(6, 3)), 4)
    found.save(tmp_path)
    again = Neighbors.load(tmp_path)
    assert np.array_equal(again.items, found.items)
    assert np.array_equal(again.scores, found.scores)
    assert found.first(2).items.tolist() == found.items[:, :2].tolist()


def test_absent_neighbours_are_a_users_error(tmp_path):
    with pytest.raises(ArtifactError, match="no readable neighbours"):
        Neighbors.load(tmp_path)


def test_read_gram_text_with_its_header(tmp_path, catalog):
    path = tmp_path / "similar_item_sasrec.txt"
    path.write_text("anchor similar items\nb a c\na d\n", encoding="utf-8")
    found = read_published(path, catalog)
    assert found.items.tolist() == [[3, -1], [0, 2], [-1, -1], [-1, -1]]
    assert found.scores[1].tolist() == [1.0, 0.5]


def test_read_parquet_equals_text(tmp_path, catalog):
    path = tmp_path / "published.parquet"
    pq.write_table(pa.table({"item_id": ["b", "a"], "top": [["a", "c"], ["d"]]}), path)
    assert read_published(path, catalog).items.tolist() == [[3, -1], [0, 2], [-1, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b x\n", "item 'x' is not in the catalog of 4 items"),
        ("a b\na c\n", "item 'a' has more than one row"),
    ],
)
def test_bad_neighbour_files_are_named(tmp_path, catalog, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_published(path, catalog)


def test_a_parquet_file_without_lists_is_refused(tmp_path, catalog):
    path = tmp_path / "flat.parquet"
    pq.write_table(pa.table({"item_id": ["a"], "other": ["b"]}), path)
    with pytest.raises(DataError, match="exactly one column of lists"):
        read_published(path, catalog)
    with pytest.raises(DataError, match="no such file"):
        read_published(tmp_path / "absent.txt", catalog)


@pytest.mark.data
def test_grams_published_neighbours_are_whole(data_dir):
    folder = data_dir / "beauty"
    catalog = Catalog.read(folder / "items.parquet", text=["title"])
    found = read_published(folder / "gram_sasrec_top20.parquet", catalog)
    assert found.items.shape == (12_101, 20)
    assert found.items.min() >= 0
    assert not (found.items == np.arange(12_101)[:, None]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("column", range(9))
@pytest.mark.parametrize("k", [1, 2, 20])
def test_top_k_takes_no_number_that_is_none(bad, column, k):
    scores = np.tile(np.arange(9, dtype=np.float32), (4, 1))
    scores[1:3, column] = bad
    scores[0, column] = -np.inf
    with pytest.raises(TrainingError, match=r"scores of the recommender 'mine' are NaN or \+infinity for 2 of 4 hist"):
        top_k(scores, k, of="the recommender 'mine'")
    assert (top_k(scores[[0, 3]], k)[0][:, 0] >= 7).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_nearest_takes_no_vector_without_an_angle(bad):
    vectors = np.eye(4, dtype=np.float32)
    vectors[2, 1] = bad
    with pytest.raises(DataError, match="vectors hold NaN or infinity, or numbers beyond 1e15"):
        nearest(vectors, 2)
    with pytest.raises(DataError, match="vectors hold NaN or infinity, or numbers beyond 1e15"):
        nearest(sparse.csr_array(vectors), 2)

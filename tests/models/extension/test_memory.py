import numpy as np
import pyarrow as pa

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.extension.changes import CatalogChange, ItemChanges
from lexirec.models.extension.memory import Likeness, extend_memory, neighbors_of, resized

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(30, 5)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
TRAIN = Sequences.from_lists([RNG.integers(0, 24, size=6).tolist() for _ in range(60)])
SETTINGS = MemorySettings(neighbors=4)
HISTORIES = Sequences.from_lists([[0, 3], [7], [12, 1, 5], []])


def catalog(n_items):
    return Catalog(pa.table({"item_id": [f"i{n}" for n in range(n_items)], "title": ["x"] * n_items}), ("title",))


def grown(first, last, memory, removed=()):
    rows = catalog(last).table.slice(first)
    change = CatalogChange.of(catalog(first), ItemChanges(rows, removed))
    return change, extend_memory(
        memory, change, Likeness(VECTORS[:24], VECTORS[_kept(first, last, removed)], _trained(removed))
    )


def _kept(first, last, removed):
    return [n for n in range(last) if f"i{n}" not in removed]


def _trained(removed):
    return np.array([n for n in range(24) if f"i{n}" not in removed])


def fitted():
    return Memory(SETTINGS).fit(TRAIN, 24, vectors=VECTORS[:24])


def test_fitted_items_score_as_they_did():
    memory = fitted()
    _, more = grown(24, 30, memory)
    np.testing.assert_array_equal(more.scores(HISTORIES)[:, :24], memory.scores(HISTORIES))


def test_new_items_are_reached_by_what_they_resemble():
    _, more = grown(24, 30, fitted())
    scores = more.scores(HISTORIES)
    assert (scores[:3, 24:] > 0).any(axis=0).mean() > 0.5
    assert (scores[3, 24:] == 0).all()  # a newcomer gets what was bought


def test_weights_are_those_of_the_definition():
    _, more = grown(24, 30, fitted())
    cosine = VECTORS @ VECTORS.T
    np.fill_diagonal(cosine, 0)
    near = np.sort(cosine[:24, :24], axis=1)[:, -4:]
    for old in range(24):
        for new in range(24, 30):
            strength = max(cosine[old, new], 0) ** 3 / (np.maximum(near[old], 0) ** 3).sum()
            expected = strength if cosine[old, new] >= near[old, 0] else 0
            np.testing.assert_allclose(more.similarities[[old], [new]][0], expected, rtol=1e-4)
    rows = more.similarities[24:, :24].sum(axis=1)
    np.testing.assert_allclose(rows, 1, rtol=1e-5)


def test_growing_in_steps_is_growing_at_once():
    _, once = grown(24, 30, fitted())
    _, first = grown(24, 27, fitted())
    change = CatalogChange.of(catalog(27), ItemChanges(catalog(30).table.slice(27)), trained=24)
    twice = extend_memory(first, change, Likeness(VECTORS[:24], VECTORS, np.arange(24)))
    np.testing.assert_allclose(twice.scores(HISTORIES), once.scores(HISTORIES), rtol=1e-5)


def test_removed_items_leave_the_matrices():
    change, less = grown(24, 26, fitted(), removed=("i3", "i20"))
    assert less.counts.shape == (24, 24)
    assert change.trained == 22
    np.testing.assert_array_equal(less.counts[:3, :3].toarray(), fitted().counts[:3, :3].toarray())


def test_a_saved_memory_keeps_its_scale(tmp_path):
    _, more = grown(24, 30, fitted())
    more.save(tmp_path)
    np.testing.assert_array_equal(Memory.load(tmp_path).scores(HISTORIES), more.scores(HISTORIES))


def test_neighbours_are_trained_items():
    _, more = grown(24, 30, fitted())
    found = neighbors_of(more, np.arange(24, 30), 24, 5)
    assert found.items.shape == (6, 5)
    assert found.items.max() < 24
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_matrices_are_resized_by_kept_items():
    from scipy import sparse

    matrix = sparse.csr_array(np.arange(9, dtype=np.float32).reshape(3, 3))
    assert resized(matrix, np.array([0, 2]), 3).toarray().tolist() == [[0, 2, 0], [6, 8, 0], [0, 0, 0]]

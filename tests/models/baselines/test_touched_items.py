import numpy as np
import pyarrow as pa
import pytest

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines import memory as memory_module
from lexirec.models.baselines.memory import TRANSITIONS, Memory, MemorySettings
from lexirec.models.baselines.recommender import ScoreRecommender


@pytest.fixture(params=["m0", "m2", "walks", "transitions"])
def memory(request):
    rng = np.random.default_rng(0)
    train = Sequences.from_lists([rng.integers(0, 60, rng.integers(2, 9)).tolist() for _ in range(50)])
    texts = [" ".join(f"word{word}" for word in rng.integers(0, 25, 6)) for _ in range(60)]
    settings = {"walks": MemorySettings(two_steps=0.4, neighbors=5), "transitions": TRANSITIONS}.get(
        request.param, MemorySettings(neighbors=5)
    )
    return Memory(settings).fit(train, 60, texts=texts if request.param in ("m2", "walks") else None)


def test_sparse_and_dense_paths_give_the_same_scores(memory, monkeypatch):
    histories = Sequences.from_lists([[3, 7, 3], [], [59], [1, 2, 4, 8, 16, 32]])
    dense = memory.scores(histories)
    monkeypatch.setattr(memory_module, "LARGE", 10)
    assert memory.scores(histories) == pytest.approx(dense, rel=1e-5, abs=1e-7)


def test_sparse_and_dense_paths_give_the_same_neighbours(memory, monkeypatch):
    dense = memory.neighbors(8)
    monkeypatch.setattr(memory_module, "LARGE", 10)
    found = memory.neighbors(8)
    assert found.scores == pytest.approx(dense.scores, rel=1e-5, abs=1e-7)
    differ = found.items != dense.items  # where two neighbours score alike up to rounding
    assert found.scores[differ] == pytest.approx(dense.scores[differ], rel=1e-5)
    assert (differ.mean(), (found.items < 0).sum()) == (pytest.approx(0, abs=0.02), (dense.items < 0).sum())


def test_the_recall_of_text_neighbours_is_kept(memory, tmp_path):
    memory.recall = 0.97
    memory.save(tmp_path)
    loaded = Memory.load(tmp_path)
    catalog = Catalog(pa.table({"item_id": [f"i{number}" for number in range(60)], "title": ["a"] * 60}), ("title",))
    assert loaded.recall == 0.97
    assert "recall 0.970" in ScoreRecommender(catalog, loaded).protocol["text_neighbours"]
    loaded.recall = None
    assert "text_neighbours" not in ScoreRecommender(catalog, loaded).protocol

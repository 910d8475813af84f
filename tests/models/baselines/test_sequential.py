import numpy as np
import pytest
import torch

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
from lexirec.models.baselines.sequential import ItemTable

ITEMS = 7


def model(**settings):
    made = Sasrec(SasrecSettings(dimensions=8, max_history=5, **settings), device="cpu")
    made.network = made.build(ITEMS)
    made.shares = np.arange(ITEMS, dtype=np.float32) / 21
    return made


@pytest.fixture(params=["dot", "cosine"])
def sasrec(request):
    return model(output=request.param)


def test_newcomers_get_popularity(sasrec):
    scores = sasrec.scores(Sequences.from_lists([[], [1]]))
    assert scores[0].tolist() == sasrec.shares.tolist()
    assert np.isfinite(scores[1]).all()
    assert sasrec.scores(Sequences.from_lists([[]])).shape == (1, ITEMS)


def test_cosine_logits_ignore_lengths_and_start_at_the_temperature():
    sasrec = model(output="cosine")
    states, vectors = torch.randn(3, 8), torch.randn(ITEMS, 8)
    logits = sasrec.network.logits(states, vectors)
    assert torch.allclose(logits, sasrec.network.logits(5 * states, 3 * vectors), atol=1e-4)
    same = sasrec.network.logits(states, states)
    assert torch.allclose(same.diagonal(), torch.full((3,), 1 / 0.07), rtol=1e-4)


def test_item_vectors_have_a_row_per_item_and_no_pad_row(sasrec):
    assert sasrec.item_vectors().shape == (ITEMS, 8)
    assert np.allclose(sasrec.item_vectors(), sasrec.network.table.rows.weight.detach().numpy())


def test_an_items_vector_is_its_row_its_text_and_its_neighbours_mean():
    text, neighbors = torch.eye(3), torch.tensor([[1, 2], [0, -1], [-1, -1]])
    table = ItemTable(3, 4, text, neighbors)
    own = table.rows.weight + table.text_map.weight.T
    expected = torch.stack([own[0] + (own[1] + own[2]) / 2, own[1] + own[0], own[2]])
    assert torch.allclose(table(), expected, atol=1e-6)


def test_a_model_with_features_survives_the_disk(tmp_path):
    sasrec = Sasrec(SasrecSettings(dimensions=8), device="cpu")
    items = np.random.default_rng(0).integers(-1, ITEMS, (ITEMS, 2)).astype(np.int32)
    sasrec.network = sasrec.build(
        ITEMS,
        vectors=np.random.default_rng(1).normal(size=(ITEMS, 5)),
        neighbors=Neighbors(items, items * np.float32(1)),
    )
    sasrec.shares = np.ones(ITEMS, dtype=np.float32)
    sasrec.save(tmp_path)
    histories = Sequences.from_lists([[1, 2], [3], []])
    assert np.array_equal(Sasrec.load(tmp_path, device="cpu").scores(histories), sasrec.scores(histories))


def test_weights_of_another_shape_are_refused(tmp_path, sasrec):
    sasrec.save(tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"layers": 2', '"layers": 1'), encoding="utf-8")
    with pytest.raises(ArtifactError, match="weights do not fit"):
        Sasrec.load(tmp_path)


def test_features_must_be_one_row_per_item():
    with pytest.raises(DataError, match="6 rows of text vectors for 7 items"):
        Sasrec().build(7, vectors=np.ones((6, 2)))


def test_building_is_seeded_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    weights = model().network.state_dict()
    assert torch.equal(torch.rand(1), first)
    assert all(torch.equal(value, weights[name]) for name, value in model().network.state_dict().items())

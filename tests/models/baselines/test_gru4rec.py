import numpy as np
import pytest
import torch

from lexirec.data.sequences import Sequences
from lexirec.models.baselines.gru4rec import Gru4Rec, Gru4RecSettings

ITEMS = 7


@pytest.fixture(params=[1, 2])
def gru(request):
    made = Gru4Rec(Gru4RecSettings(dimensions=8, width=12, layers=request.param, max_history=5), device="cpu")
    made.network = made.build(ITEMS)
    made.shares = np.arange(ITEMS, dtype=np.float32) / 21
    return made


def test_padding_behind_changes_nothing_and_no_place_sees_the_future(gru):
    gru.network.eval()
    bare = gru.network(torch.tensor([[3, 1, 4]]))
    assert bare.shape == (1, 3, 8)
    assert torch.allclose(gru.network(torch.tensor([[3, 1, 4, -1, -1]]))[:, :3], bare, atol=1e-6)
    assert torch.allclose(gru.network(torch.tensor([[3, 1, 5]]))[:, :2], bare[:, :2], atol=1e-6)


def test_order_of_the_history_matters_and_only_the_newest_items_are_read(gru):
    scores = gru.scores(Sequences.from_lists([[0, 1, 2], [1, 0, 2], [6, 6, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]))
    assert not np.allclose(scores[0], scores[1], atol=1e-4)
    assert np.allclose(scores[2], scores[3], atol=1e-6)


def test_it_survives_the_disk(gru, tmp_path):
    gru.save(tmp_path)
    histories = Sequences.from_lists([[1, 2], [3], []])
    assert np.array_equal(Gru4Rec.load(tmp_path, device="cpu").scores(histories), gru.scores(histories))

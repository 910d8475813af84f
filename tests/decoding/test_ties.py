import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.decoding.ties import top_scores

FEW = [-torch.inf, -1e30, -2.5, -1e-45, -0.0, 0.0, 1e-45, 2.5, 1e30, torch.inf]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 30), st.data())
def test_the_largest_scores_come_first_and_equal_ones_by_number(seed, rows, columns, data):
    rng = np.random.default_rng(seed)
    scores = torch.tensor(FEW)[torch.from_numpy(rng.integers(0, len(FEW), (rows, columns)))]
    numbers = torch.from_numpy(rng.choice([-1, 0, 1, 2, 50, 2**31 - 2, 2**31 - 1], (rows, columns)))
    k = data.draw(st.integers(1, columns))
    best, places = top_scores(scores, numbers, k)
    expected = np.lexsort((numbers.numpy(), -scores.numpy().astype(np.float64)), axis=1)[:, :k]
    assert torch.equal(numbers.gather(1, places), numbers.gather(1, torch.from_numpy(expected)))
    assert torch.equal(best, scores.gather(1, torch.from_numpy(expected)))


def test_numbers_may_be_those_of_all_rows():
    scores = torch.tensor([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    best, places = top_scores(scores, torch.tensor([[9, 5, 2]]), 2)
    assert places.tolist() == [[2, 1], [2, 1]]
    assert best.tolist() == [[3.0, 3.0], [0.0, 0.0]]

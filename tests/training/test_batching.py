import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.training.batching import batches_by_length


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 20), st.integers(0, 3))
def test_batches_hold_every_row_once(lengths, batch_size, epoch):
    found = batches_by_length(np.array(lengths), batch_size, [7, epoch])
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert max(map(len, found)) <= batch_size
    assert len(found) == -(-len(lengths) // batch_size)
    for one, two in zip(found, batches_by_length(np.array(lengths), batch_size, [7, epoch])):
        assert np.array_equal(one, two)


def test_batches_are_of_like_length_in_random_order():
    lengths = np.random.default_rng(0).integers(20, 300, 4000)
    found = batches_by_length(lengths, 32, [0, 0])
    padding = sum(len(part) * lengths[part].max() for part in found) / lengths.sum()
    assert padding < 1.2
    means = [lengths[part].mean() for part in found]
    half = len(means) // 2
    assert abs(np.mean(means[:half]) - np.mean(means[half:])) < 40
    assert any(not np.array_equal(a, b) for a, b in zip(found, batches_by_length(lengths, 32, [0, 1])))

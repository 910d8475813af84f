import numpy as np
import pytest

from lexirec.data.sequences import Sequences
from lexirec.training.batching import blocks, corrupt, random_spans, spans_of

DOCUMENTS = Sequences.from_lists([[1, 2, 3], [4], [5, 6, 7, 8], [9, 10]])


def test_blocks_are_documents_one_behind_another():
    assert blocks(DOCUMENTS, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert blocks(DOCUMENTS, 100).tolist() == [list(range(1, 11))]
    assert blocks(Sequences.from_lists([]), 4).shape[0] == 0


def test_documents_come_in_another_order_in_each_epoch():
    orders = [blocks(DOCUMENTS, 5, [0, epoch]).tolist() for epoch in range(6)]
    assert blocks(DOCUMENTS, 5, [0, 0]).tolist() == orders[0]
    assert len({str(order) for order in orders}) > 2
    assert all(sorted(sum(order, [])) == list(range(1, 11)) for order in orders)  # noqa: RUF017
    assert all("5, 6, 7, 8" in str(sum(order, [])) for order in orders)  # noqa: RUF017


@pytest.mark.parametrize(("length", "share", "mean"), [(128, 0.15, 3.0), (20, 0.5, 1.0), (3, 0.15, 3.0), (9, 0.9, 2.0)])
def test_every_row_loses_as_many_tokens_in_as_many_spans(length, share, mean):
    taken, spans = spans_of(length, share, mean)
    mask = random_spans((50, length), share, mean, np.random.default_rng(0))
    assert (mask.sum(1) == taken).all()
    assert not mask[:, [0, -1]].any()
    assert ((mask[:, 1:] & ~mask[:, :-1]).sum(1) == spans).all()


def test_the_usual_shares():
    assert spans_of(512, 0.15, 3.0) == (77, 26)  # T5
    masks = random_spans((2000, 40), 0.15, 3.0, np.random.default_rng(1))
    assert masks.mean() == pytest.approx(0.15)
    assert masks[:, 1:-1].mean(0).min() > 0.05  # everywhere
    assert len(np.unique(masks, axis=0)) > 500


def test_what_is_taken_out_stands_in_the_target():
    tokens = np.arange(20).reshape(2, 10)
    taken = np.zeros((2, 10), dtype=bool)
    taken[0, [2, 3, 7]] = taken[1, [1, 7, 8]] = True
    holes, target = corrupt(tokens, taken, np.array([100, 101, 102]), end=1)
    assert holes.tolist() == [[0, 1, 100, 4, 5, 6, 101, 8, 9, 1], [10, 100, 12, 13, 14, 15, 16, 101, 19, 1]]
    assert target.tolist() == [[100, 2, 3, 101, 7, 102, 1], [100, 11, 101, 17, 18, 102, 1]]

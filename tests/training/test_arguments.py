import numpy as np
import torch

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.training.arguments import METRIC, NdcgValidator, early_stopping


def cases(number: int) -> Cases:
    histories = Sequences.from_lists([[row] for row in range(number)])
    return Cases(np.arange(number), np.arange(number, dtype=np.int32), histories)


def test_patience_counts_judgements_without_a_better_one():
    stop = early_stopping(2)
    assert not stop([0.1])
    assert not stop([0.3, 0.2])
    assert stop([0.3, 0.2, 0.3])
    assert not stop([0.3, 0.2, 0.4])


def test_the_choice_is_ndcg_of_its_cases():
    items = np.array([[0, 9], [9, 1], [7, 8]], dtype=np.int32)
    model = torch.nn.Linear(1, 1).eval()
    figures = NdcgValidator(cases(3), lambda given, histories: items).figures(model)
    assert figures[METRIC] == (1 + 1 / np.log2(3)) / 3
    assert figures["validation_recall@10"] == 2 / 3
    assert model.training


def test_a_sample_is_fixed_and_in_order():
    chosen = cases(50).sample(7, seed=3)
    assert len(chosen) == 7
    assert np.array_equal(chosen.targets, np.sort(chosen.targets))
    assert np.array_equal(chosen.targets, cases(50).sample(7, seed=3).targets)
    assert not np.array_equal(chosen.targets, cases(50).sample(7, seed=4).targets)
    whole = cases(5)
    assert whole.sample(5, seed=0) is whole

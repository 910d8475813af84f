import numpy as np
import torch

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.training.running import METRIC, Choice, Epochs, Run, patience, sample
from lexirec.training.trainer import TrainingSettings


class Less:
    metric, sign = "perplexity", -1

    def figures(self, model):
        return {"perplexity": 1.0}


def cases(number: int) -> Cases:
    histories = Sequences.from_lists([[row] for row in range(number)])
    return Cases(np.arange(number), np.arange(number, dtype=np.int32), histories)


def test_patience_counts_judgements_without_a_better_one():
    stop = patience(2)
    assert not stop([0.1])
    assert not stop([0.3, 0.2])
    assert stop([0.3, 0.2, 0.3])
    assert not stop([0.3, 0.2, 0.4])


def test_a_run_reads_its_log_in_the_judge_s_sense(tmp_path):
    run = Run(TrainingSettings(), tmp_path, Less(), patience(1))
    log = [{"loss": 3.0}, {"perplexity": 9.0}, {"loss": 2.0}, {"perplexity": 5.0}]
    assert run.goodness(log) == [-9.0, -5.0]
    assert not run.over(log)
    assert run.over([*log, {"perplexity": 6.0}])
    assert not run.over([{"loss": 3.0}])
    assert not Run(TrainingSettings(), tmp_path, None, patience(1)).over(log)


def test_the_choice_is_ndcg_of_its_cases():
    items = np.array([[0, 9], [9, 1], [7, 8]], dtype=np.int32)
    model = torch.nn.Linear(1, 1).eval()
    figures = Choice(cases(3), lambda given, histories: items).figures(model)
    assert figures[METRIC] == (1 + 1 / np.log2(3)) / 3
    assert figures["validation_recall@10"] == 2 / 3
    assert model.training


def test_a_sample_is_fixed_and_in_order():
    chosen = sample(cases(50), 7, seed=3)
    assert len(chosen) == 7
    assert np.array_equal(chosen.targets, np.sort(chosen.targets))
    assert np.array_equal(chosen.targets, sample(cases(50), 7, seed=3).targets)
    assert not np.array_equal(chosen.targets, sample(cases(50), 7, seed=4).targets)
    whole = cases(5)
    assert sample(whole, 5, seed=0) is whole


def test_epochs_lie_one_after_another():
    asked = []

    def order(epoch):
        asked.append(epoch)
        return [10 * epoch + part for part in range(3)]

    data = Epochs(order, lambda part: {"part": torch.tensor(part)}, epochs=3)
    assert (data.per_epoch, len(data)) == (3, 9)
    assert [int(data[number]["part"]) for number in (0, 2, 3, 8)] == [0, 2, 10, 22]
    assert asked == [0, 1, 2]

import torch

from lexirec.models.gram.settings import GramTrainingSettings
from lexirec.training.arguments import early_stopping
from lexirec.training.trainer import Epochs, TrainingRun


class Less:
    metric, sign = "perplexity", -1

    def figures(self, model):
        return {"perplexity": 1.0}


def test_a_run_reads_its_log_in_the_judge_s_sense(tmp_path):
    run = TrainingRun(GramTrainingSettings(), tmp_path, Less(), early_stopping(1))
    log = [{"loss": 3.0}, {"perplexity": 9.0}, {"loss": 2.0}, {"perplexity": 5.0}]
    assert run.validation_scores(log) == [-9.0, -5.0]
    assert not run.finished(log)
    assert run.finished([*log, {"perplexity": 6.0}])
    assert not run.finished([{"loss": 3.0}])
    assert not TrainingRun(GramTrainingSettings(), tmp_path, None, early_stopping(1)).finished(log)


def test_epochs_lie_one_after_another():
    asked = []

    def order(epoch):
        asked.append(epoch)
        return [10 * epoch + part for part in range(3)]

    data = Epochs(order, lambda part: {"part": torch.tensor(part)}, epochs=3)
    assert (data.per_epoch, len(data)) == (3, 9)
    assert [int(data[number]["part"]) for number in (0, 2, 3, 8)] == [0, 2, 10, 22]
    assert asked == [0, 1, 2]

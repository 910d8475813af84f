import pytest

from lexirec.models.baselines.gru4rec import Gru4RecSettings
from lexirec.models.baselines.sasrec import SasrecSettings
from lexirec.models.baselines.sequential import SequenceTrainingSettings


@pytest.mark.parametrize("kind", [SasrecSettings, Gru4RecSettings])
def test_a_full_softmax_beyond_the_machine_is_refused_beforehand(kind, monkeypatch):
    monkeypatch.setattr("lexirec.core.environment.total_memory", lambda: 8 * 2**30)
    assert kind().too_large(100_000, 10_000) is None
    refused = kind().too_large(1_000_000, 10_000)
    assert "scores of 1,000,000 items for up to 2,560 targets a step need about 29 GiB" in refused
    assert refused.endswith("this machine has 8 GiB: set training.negatives = 256, or leave this baseline out")
    assert kind(training=SequenceTrainingSettings(negatives=256)).too_large(1_000_000, 10_000) is None

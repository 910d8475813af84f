import json

import numpy as np
import pytest

from lexirec import cli
from lexirec.data.sequences import Sequences
from lexirec.models.gram.training import packed_windows, windows_per_prefix
from lexirec.workflows.benchmarks import train
from lexirec.workflows.benchmarks.fixtures import beauty_like_lengths
from lexirec.workflows.benchmarks.train import ALIKE, BATCH_PROMPTS, _alike, bench_train
from tests.workflows.benchmarks.test_fixtures import TINY


def test_it_prints_one_object_and_both_ways_agree(monkeypatch, capsys):
    monkeypatch.setattr(train, "bench_train", lambda: bench_train(users=6, repeats=1, sizes=TINY))
    with pytest.raises(SystemExit) as done:
        cli.main(["bench", "train", "--json"])
    assert not done.value.code
    found = json.loads(capsys.readouterr().out)
    assert {"speedup", "identical", "seconds", "reference_seconds", "floor_seconds"} <= found.keys()
    assert found["identical"] is True
    assert found["gradient_difference"] < 1e-4
    assert found["speedup"] == pytest.approx(found["reference_seconds"] / found["seconds"])
    assert found["reference_items_encoded"] > 1.5 * found["items_encoded"] > found["targets"]


def test_a_small_epoch_has_the_proportions_of_beauty():
    lengths = beauty_like_lengths(14)
    rows = Sequences.from_lists([[0] * length for length in lengths])
    encoded = [(cut(rows, 20).rows.lengths - 1).sum() for cut in (packed_windows, windows_per_prefix)]
    assert encoded[1] / encoded[0] == pytest.approx(880_671 / 150_203, rel=0.01)
    assert encoded[1] / (lengths - 1).sum() == pytest.approx(880_671 / 131_413, rel=0.03)


def test_batches_are_of_like_length_and_hold_every_window():
    rows = Sequences.from_lists([[0] * length for length in [3] * 200 + [20] * 9 + [17, 9]])
    windows = packed_windows(rows, 20)
    parts = _alike(windows)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(windows)))
    for part in parts:
        lengths = windows.rows.lengths[part]
        assert lengths.min() >= ALIKE * lengths.max()
        assert len(part) * (lengths.max() - 1) <= BATCH_PROMPTS

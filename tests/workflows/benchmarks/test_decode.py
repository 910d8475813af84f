import json

import pytest

from lexirec import cli
from lexirec.core.errors import SettingsError
from lexirec.workflows.benchmarks import decode
from lexirec.workflows.benchmarks.decode import bench_decode
from tests.workflows.benchmarks.test_fixtures import TINY


@pytest.mark.long
def test_it_prints_one_object_and_both_paths_agree(monkeypatch, capsys):
    monkeypatch.setattr(decode, "bench_decode", lambda family: bench_decode(family, users=2, repeats=2, sizes=TINY))
    with pytest.raises(SystemExit) as done:
        cli.main(["bench", "decode", "--family", "late-fusion", "--json"])
    assert not done.value.code
    found = json.loads(capsys.readouterr().out)
    assert {"speedup", "speedup_with_encoding", "memory_ratio", "identical", "floor_seconds"} <= found.keys()
    assert found["identical"] is True
    assert found["score_difference"] < 1e-4
    assert found["speedup"] == pytest.approx(found["reference_seconds"] / found["seconds"])
    assert found["speedup"] > found["speedup_with_encoding"] > 0
    assert found["growth_mebibytes"] / found["reference_growth_mebibytes"] == found["memory_ratio"]
    low, high = found["seconds_spread"]
    assert 0 < low <= found["seconds"] <= high


def test_an_unknown_family_is_named_with_those_there_are():
    with pytest.raises(
        SettingsError, match=r"'late-fuson' is unknown; use late-fusion, causal.*Did you mean 'late-fusion'"
    ):
        bench_decode("late-fuson")

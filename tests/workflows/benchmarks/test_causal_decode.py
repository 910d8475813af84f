import json
import time
from contextlib import contextmanager

import numpy as np
import pytest

from lexirec import cli
from lexirec.decoding.trie import Trie
from lexirec.workflows.benchmarks import causal_decode, decode
from lexirec.workflows.benchmarks.causal_decode import CausalSizes, bench_causal_decode, semantic_ids
from lexirec.workflows.benchmarks.measure import Answer

TINY = CausalSizes(
    layers=2,
    width=32,
    heads=4,
    key_heads=2,
    inner=48,
    vocabulary=400,
    codes=16,
    nodes=(6, 40, 70),
    prompt=30,
    beams=10,
)


class Here:
    """A competitor in this process, so that the test need not start others."""

    def __init__(self, competitor, growth):
        self._competitor, self._growth = competitor, growth

    def ask(self, method, *arguments):
        begin = time.perf_counter()
        value = getattr(self._competitor, method)(*arguments)
        seconds = time.perf_counter() - begin
        return Answer(value, seconds, seconds / 2, self._growth)


def test_it_prints_one_object_and_both_paths_agree(monkeypatch, capsys):
    growth = iter([8.0, 2.0])
    monkeypatch.setattr(
        causal_decode, "apart", contextmanager(lambda make, *given: (yield Here(make(*given), next(growth))))
    )
    monkeypatch.setattr(
        decode,
        "bench_causal_decode",
        lambda users, repeats, seed: bench_causal_decode(users, repeats=2, sizes=TINY, seed=seed),
    )
    with pytest.raises(SystemExit) as done:
        cli.main(["bench", "decode", "--family", "causal", "--json"])
    assert not done.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["identical"] is True
    assert found["score_difference"] < 1e-4
    assert found["speedup"] == pytest.approx(found["reference_seconds"] / found["seconds"])
    assert found["processor_speedup"] == pytest.approx(found["speedup"])
    assert found["processor_seconds"]["floor"] == pytest.approx(found["floor_seconds"] / 2)
    assert found["memory_ratio"] == 0.25
    assert found["speedup_over_legal_children"] > 0
    assert found["nodes"] == [6, 40, 70]
    low, high = found["floor_seconds_spread"]
    assert 0 < low <= found["floor_seconds"] <= high


@pytest.mark.parametrize("sizes", [CausalSizes(), TINY])
def test_identifiers_make_a_trie_of_the_size_that_is_wanted(sizes):
    tokens = semantic_ids(sizes, seed=3)
    trie = Trie.build(tokens)  # which refuses identifiers that are not unique
    assert tuple(np.diff(trie.level_offsets)[1:]) == sizes.nodes
    assert tokens.max() < sizes.vocabulary
    assert tokens.min() >= sizes.vocabulary - sizes.nodes[0] - 2 * sizes.codes
    assert trie.max_children[1] > 2 * sizes.nodes[1] / sizes.nodes[0]  # cells are of unequal size

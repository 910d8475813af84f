import json

import pytest
import torch

from lexirec.workflows.benchmarks.grpo import GroupSizes, bench_grpo, make_group_world, repeated, shared

TINY = GroupSizes(layers=2, width=16, heads=2, inner=24, vocabulary=50, items=60, prompt=12, group=5)


def test_both_ways_agree_and_one_reads_less():
    found = bench_grpo(prompts=2, repeats=1, sizes=TINY)
    assert found["identical"] is True
    assert found["gradient_difference"] < 1e-6  # double precision
    assert found["speedup"] == pytest.approx(found["reference_seconds"] / found["seconds"])
    assert found["tokens"] == 2 * (12 + 2 * 5)
    assert found["reference_tokens"] == 2 * 5 * 14
    assert json.loads(json.dumps(found)) == found


def test_a_difference_would_be_seen():
    """Log-probabilities are no constants, and a wrong prompt gives others."""
    world = make_group_world(TINY, 2, seed=1)
    one, two = shared(world.policy, world), repeated(world.policy, world)
    assert torch.allclose(one, two, atol=1e-4)
    other = world._replace(prompts_BL=world.prompts_BL.flip(1))
    assert not torch.allclose(shared(world.policy, other), two, atol=1e-4)
    assert one.std() > 0.1

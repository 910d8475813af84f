"""Compiled rules are kept for the present facts alone."""

from __future__ import annotations

from dataclasses import replace

from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.schemas.recommend import RecommendRequest
from tests.serving.shop import snapshot


def ask(*filters: str) -> RecommendRequest:
    return RecommendRequest(allow=filters)


def test_rules_of_earlier_facts_are_forgotten():
    compiler, now = RuleCompiler(2**20), snapshot()
    for revision in range(1, 50):
        now = replace(now, facts_revision=revision)
        for number in range(3):
            compiler.rules(now, ask(f"price<{number}"))
    assert len(compiler._kept) == 3
    kept = compiler.rules(now, ask("price<1"))
    assert compiler.rules(now, ask("price<1")) is kept
    compiler.rules(replace(now, facts_revision=7), ask("price<9"))  # a request that has waited since then
    assert compiler.rules(now, ask("price<1")) is kept
    other = snapshot(name="other")
    compiler.rules(other, ask("price<1"))
    assert compiler.rules(now, ask("price<1")) is kept
    assert compiler._bytes == sum(size for _, size in compiler._kept.values())


def test_no_more_bytes_are_kept_than_allowed():
    compiler, now = RuleCompiler(2_000), snapshot()
    for number in range(30):
        compiler.rules(now, ask(f"price<{number}"))
    assert 0 < compiler._bytes <= 2_000
    assert len(compiler._kept) < 5

from __future__ import annotations

from dataclasses import replace

from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.schemas.recommend import RecommendRequest
from tests.serving.shop import CATALOG, snapshot


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        self.count += 1


class Counters:
    def __init__(self) -> None:
        self.mask_hits, self.mask_misses = Counter(), Counter()


def asked(price: float) -> RecommendRequest:
    return RecommendRequest.model_validate({"allow": [f"price<{price}"]})


def test_equal_rules_are_compiled_once():
    counters, made = Counters(), snapshot()
    compiler = RuleCompiler(2**20, counters)
    first = compiler.rules(made, asked(5))
    assert compiler.rules(made, asked(5)) is first
    assert int(first.rules.allowed.sum()) == 5
    assert (counters.mask_hits.count, counters.mask_misses.count) == (1, 1)


def test_the_least_recently_used_rules_go_when_the_memory_is_used_up():
    compiler, made = RuleCompiler(20_000), snapshot()
    for price in range(50):
        compiler.rules(made, asked(price + 0.5))
    assert 3 <= len(compiler._kept) <= 20
    assert compiler._bytes <= 20_000


def test_rules_of_earlier_facts_are_forgotten_those_of_other_models_stay():
    compiler, made, other = RuleCompiler(2**20), snapshot(), snapshot(name="other")
    kept = compiler.rules(other, asked(3))
    for revision in range(1, 6):
        changed = made.with_facts(CATALOG, None, revision)
        for price in range(10):
            compiler.rules(changed, asked(price + 0.5))
    assert len(compiler._kept) == 11
    assert compiler.rules(other, asked(3)) is kept
    again = replace(made, facts_revision=5)  # an equal snapshot, as a loaded model is
    assert compiler.rules(again, asked(0.5)) is compiler.rules(changed, asked(0.5))

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.metrics import summarize
from lexirec.workflows.comparison.compare import Comparison, compare_systems

CASES, QUICK = 1500, Bootstrap(replicates=1000)


def report(seed, hits=0.2, **protocol):
    """Return a made-up evaluation in which a share of the targets, about the same ones always, is found."""
    easy = np.random.default_rng(0).random(CASES)
    rng = np.random.default_rng(seed)
    found = easy + 0.05 * rng.normal(size=CASES) < hits
    ranks = np.where(found, rng.integers(1, 11, CASES), 0)
    card = {"exclude_seen": True, "list_length": 10, "catalog": "a" * 64, "cases_digest": "b" * 64, **protocol}
    cases = {"user": np.arange(CASES) // 3, "target": np.arange(CASES) % 50}
    return Report(summarize(ranks, (5, 10)), ranks, card, cases=cases)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    systems = {
        "floor": [report(1, seeds={})],
        "twin": [report(2)],
        "better": [report(seed, hits=0.26) for seed in (3, 4, 5)],
        "worse": [report(6, hits=0.1)],
    }
    return compare_systems(systems, bootstrap=QUICK)


def test_what_is_shown_and_what_is_not(comparison):
    assert comparison.baseline == "floor"
    assert {name: comparison.verdict(name) for name in comparison.differences} == {
        "twin": "open",
        "better": "above",
        "worse": "below in these users",
    }


def better(count, **card):
    return [report(seed, hits=0.26, **card) for seed in range(3, 3 + count)]


@pytest.mark.parametrize(
    ("floor", "system", "verdict"),
    [
        ([report(1, seeds={})], better(1, seeds={}), "above"),
        ([report(1, seeds={})], better(1), "above in these users"),
        ([report(1, seeds={})], better(2), "above in these users"),
        ([report(1, seeds={})], better(3), "above"),
        ([report(1)], better(3), "above in these users"),
        ([report(1), report(7), report(8)], better(3), "above"),
        ([report(1), report(7), report(8)], better(1, seeds={}), "above"),
        ([report(1), report(1), report(1)], better(3), "above in these users"),
        ([report(1, seeds={})], better(3, seeds={"model: seed": 0}), "above in these users"),
        ([report(1, settings={"kind": "memory"})], better(3), "above"),
        ([report(1, settings={"kind": "als", "seed": 0})], better(3), "above in these users"),
    ],
)
def test_a_difference_is_shown_from_three_seeds_of_every_trained_side_on(floor, system, verdict):
    found = compare_systems({"floor": floor, "better": system}, bootstrap=QUICK)
    assert found.adjusted["better"] < 0.05
    assert found.verdict("better") == verdict
    row = found.as_json()["systems"][1]
    assert (row["verdict"], row["shown"]) == (verdict, "above" if verdict == "above" else "open")
    few = verdict == "above in these users"
    assert ("say nothing about other seeds of its training" in " ".join(found.text().split())) == few
    assert ("in these users" in found.text()) == few


def test_p_values_are_corrected_for_being_many(comparison):
    raw = {name: found.p_value for name, found in comparison.differences.items()}
    assert_allclose(comparison.adjusted["worse"], 3 * raw["worse"])
    assert all(comparison.adjusted[name] >= raw[name] for name in raw)


def test_rows_hold_values_seeds_and_differences(comparison):
    rows = {row["system"]: row for row in comparison.rows()}
    assert list(rows) == ["floor", "twin", "better", "worse"]
    assert rows["floor"]["difference"] is None
    assert_allclose(rows["floor"]["value"], report(1).metrics["ndcg@10"])
    assert_allclose(rows["better"]["seeds"], [report(seed, hits=0.26).metrics["ndcg@10"] for seed in (3, 4, 5)])
    assert rows["better"]["spread"] > 0
    assert rows["twin"]["spread"] is None
    assert_allclose(rows["worse"]["difference"], rows["worse"]["value"] - rows["floor"]["value"])
    assert rows["worse"]["detectable"] > comparison.differences["worse"].detectable()


def test_json_is_plain(comparison):
    found = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert (found["users"], found["cases"], found["comparisons"], found["seen"]) == (500, CASES, 3, "excluded")
    assert [(row["verdict"], row["training_seeds"]) for row in found["systems"]] == [
        (None, None),
        ("open", 1),
        ("above", 3),
        ("below in these users", 1),
    ]
    assert (found["baseline_seeds"], found["seeds_needed"]) == (None, 3)
    nothing = compare_systems({"a": [report(1)], "none": [report(1, hits=-9)]}, baseline="none", bootstrap=QUICK)
    assert json.loads(json.dumps(nothing.as_json(), allow_nan=False))["systems"][0]["relative"] is None
    assert "–" in nothing.text()


def test_text_says_how_it_was_made(comparison):
    text = " ".join(comparison.text().split())
    assert "ndcg@10 compared with floor, seen items excluded" in text
    assert "1,000 resamples of 500 users" in text
    assert "Holm over 3 comparisons" in text
    assert re.search(r"better +\.\d{4} +3 +\+\.\d{4} \(\+\d", text)
    assert text.count(" above") == 1
    assert text.count("in these users") == 2, "the outcome of a row, and the sentence below"


def test_nothing_is_cut_on_a_narrow_terminal(comparison):
    console = Console(file=io.StringIO(), width=60, color_system=None)
    console.print(comparison.table())
    assert console.file.getvalue().count("…") == len(comparison.differences), "none but those of the intervals"


def test_it_can_be_drawn(comparison, tmp_path):
    path = comparison.draw(tmp_path / "new", "differences")
    assert path == tmp_path / "new" / "differences.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "new" / "differences.svg").read_text("utf-8")
    assert "no difference shown" in drawn
    assert "below in these users: fewer than three seeds" in drawn
    assert "above in these users" not in drawn


def test_another_metric_and_baseline():
    found = compare_systems({"a": [report(1)], "b": [report(2)]}, baseline="b", metric="recall@5", bootstrap=QUICK)
    assert list(found.differences) == ["a"]
    assert_allclose(found.systems["a"].value, report(1).metrics["recall@5"])


def other_cases(name):
    found = report(2)
    return replace(found, cases={**found.cases, name: found.cases[name] + 1})


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (report(2, exclude_seen=False), "seen items excluded and included"),
        (report(2, catalog="c" * 64), "catalog aaaaaaaaaaaa and cccccccccccc"),
        (report(2, cases_digest="c" * 64, max_history=3), "max_history None and 3, cases_digest bbbbbbbbbbbb and cccc"),
        (other_cases("target"), "cases with different targets"),
        (other_cases("user"), "cases with different users"),
        (replace(report(2), ranks=np.ones(3, dtype=np.int64)), "cases 1,500 and 3"),
    ],
)
def test_different_protocols_are_refused_and_named(other, difference):
    with pytest.raises(ArtifactError, match=rf"a and b were measured under different protocols \({difference}"):
        compare_systems({"a": [report(1)], "b": [other]})
    with pytest.raises(ArtifactError, match="a and another seed of a were measured under different protocols"):
        compare_systems({"a": [report(1), other], "b": [report(3)]})


def test_reports_that_do_not_name_users_are_refused():
    with pytest.raises(ArtifactError, match="does not hold the users"):
        compare_systems({"a": [replace(report(1), cases={})], "b": [report(2)]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "ndcg"}, "metric 'ndcg': must have the form ndcg@10"),
        ({"metric": "ndgc@10"}, r"Did you mean 'ndcg'\?"),
        ({"metric": "ndcg@50"}, "the lists hold 10 items; use @10 or less"),
        ({"baseline": "c"}, "baseline 'c' is not among a, b"),
    ],
)
def test_mistakes_are_reported(options, message):
    with pytest.raises(SettingsError, match=message):
        compare_systems({"a": [report(1)], "b": [report(2)]}, **options)


@pytest.mark.parametrize("systems", [{}, {"a": [report(1)]}, {"a": [report(1)], "b": []}])
def test_one_system_cannot_be_compared(systems):
    with pytest.raises(SettingsError, match="give two systems or more"):
        compare_systems(systems)

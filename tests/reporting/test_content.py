"""Standings of systems against the reference baselines."""

from __future__ import annotations

import pytest

from lexirec.reporting.content import Breakdown, ReportContent, SystemResult, number, short, standings, summary


def scores(recall: float, ndcg: float) -> dict[str, float]:
    return {"recall@10": recall, "ndcg@10": ndcg}


FLOORS = [
    SystemResult("transitions", scores(0.20, 0.16), scores(0.18, 0.11), floor=True),
    SystemResult("memory", scores(0.25, 0.15), None, floor=True),
]


class TestStandings:
    @pytest.mark.parametrize(
        ("recall", "ndcg", "verdict"),
        [(0.26, 0.17, "above"), (0.26, 0.155, "mixed"), (0.24, 0.17, "mixed"), (0.25, 0.16, "below")],
    )
    def test_the_best_reference_of_each_metric_counts_and_a_tie_does_not_win(
        self, recall: float, ndcg: float, verdict: str
    ) -> None:
        (found,) = standings([*FLOORS, SystemResult("model", scores(recall, ndcg))])
        assert (found.system, found.protocol, found.verdict) == ("model", "excluded", verdict)

    def test_the_sentence_names_metrics_references_and_protocol(self) -> None:
        (found,) = standings([*FLOORS, SystemResult("model", scores(0.1, 0.05))])
        assert found.sentence == (
            "model is below the reference baselines in these users, seen items excluded: "
            "recall@10 .1000 against .2500 (memory), ndcg@10 .0500 against .1600 (transitions)."
        )

    def test_the_two_protocols_are_judged_apart(self) -> None:
        model = SystemResult("model", scores(0.1, 0.05), scores(0.19, 0.12))
        assert {each.protocol: each.verdict for each in standings([*FLOORS, model])} == {
            "excluded": "below",
            "included": "above",
        }

    def test_without_a_reference_or_without_numbers_there_is_no_verdict(self) -> None:
        assert standings([SystemResult("model", scores(0.1, 0.1))]) == []
        assert standings([*FLOORS, SystemResult("model", {"recall@10": 0.9})]) == []

    def test_the_summary_gives_the_main_system_and_lists_who_loses(self) -> None:
        main = SystemResult("GRAM", scores(0.3, 0.2), main=True)
        others = [SystemResult(name, scores(0.1, 0.1)) for name in ("popularity", "EASE")]
        mixed = SystemResult("SASRec", scores(0.3, 0.1))
        assert [sentence.partition(":")[0] for _, sentence in summary([*FLOORS, *others, mixed, main])] == [
            "GRAM is above the reference baselines in these users, seen items excluded",
            "Below the reference baselines in these users, seen items excluded",
            "Not clearly above the reference baselines in these users, seen items excluded",
            "One run without a test",
        ]
        below = "Below the reference baselines in these users, seen items excluded: popularity, EASE."
        assert ("below", below) in summary([*FLOORS, *others, main])
        assert summary([main]) == [], "without standings there is nothing to leave out"


class TestChecks:
    def test_rows_of_a_breakdown_have_one_length(self) -> None:
        with pytest.raises(ValueError, match=r"by popularity: .* differ in length"):
            Breakdown("popularity", "recall@10", ["head", "tail"], [3, 4], {"model": [0.1]})

    @pytest.mark.parametrize(
        "systems",
        [[SystemResult("a"), SystemResult("a")], [SystemResult("a", main=True), SystemResult("b", main=True)]],
    )
    def test_systems_must_have_distinct_names(self, systems: list[SystemResult]) -> None:
        with pytest.raises(ValueError, match=r"must be distinct|at most one"):
            ReportContent("title", "lead", systems, {})


@pytest.mark.parametrize(
    ("value", "text"), [(0.0659, ".0659"), (0.0, ".0000"), (0.99999, "1.0000"), (1.0, "1.0000"), (None, "–")]
)
def test_numbers_are_written_as_in_tables(value: float | None, text: str) -> None:
    assert number(value) == text


def test_short_names() -> None:
    assert [short(metric) for metric in ("recall@10", "ndcg@5", "mrr@20")] == ["R@10", "N@5", "M@20"]

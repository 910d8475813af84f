"""Tables for the terminal, rendered at the usual width."""

from __future__ import annotations

from rich.console import Console, RenderableType

from lexirec.reporting.content import Shopper, Suggestion, SystemResult
from lexirec.reporting.tables import in_words, metrics_table, protocol_table, shopper_panel

METRICS = {"recall@5": 0.1, "ndcg@5": 0.07, "recall@10": 0.2, "ndcg@10": 0.1}
LOWER = {name: value / 2 for name, value in METRICS.items()}


def rendered(table: RenderableType, width: int = 80) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


class TestMetricsTable:
    def test_both_protocols_fit_into_eighty_columns(self) -> None:
        systems = [
            SystemResult("transitions", METRICS, METRICS, floor=True),
            SystemResult("GRAM (late fusion)", LOWER, LOWER, main=True),
        ]
        lines = rendered(metrics_table(systems)).splitlines()
        row = next(line for line in lines if "GRAM" in line)
        assert row.split() == ["GRAM", "(late", "fusion)", ".0500", ".0350", ".1000", ".0500", *row.split()[3:7]]
        assert max(len(line) for line in lines) <= 80

    def test_a_row_that_loses_is_said_plainly(self) -> None:
        systems = [SystemResult("transitions", METRICS, floor=True), SystemResult("GRAM", LOWER, main=True)]
        text = " ".join(rendered(metrics_table(systems)).split())
        assert "transitions, reference" in text
        assert (
            "GRAM is below the reference baselines in these users, seen items excluded: recall@10 .1000 against .2000 "
            "(transitions)" in text
        )

    def test_only_measured_protocols_have_columns(self) -> None:
        text = rendered(metrics_table([SystemResult("a", None, METRICS)]))
        assert "kept" in text
        assert "excl." not in text
        assert text.count("R@10") == 1

    def test_missing_values_are_dashes_and_other_ks_can_be_asked_for(self) -> None:
        text = rendered(metrics_table([SystemResult("a", {"recall@1": 0.5})], ks=(1,)))
        assert ".5000" in text
        assert "–" in text
        assert "R@5" not in text

    def test_names_are_no_markup(self) -> None:
        assert "[bold]x" in rendered(metrics_table([SystemResult("[bold]x", METRICS)]))


def test_the_protocol_card_is_in_words() -> None:
    text = rendered(protocol_table({"exclude_seen": True, "k_core": None, "ks": [5, 10], "split": {"kind": "last"}}))
    assert [line.split() for line in text.splitlines() if line.strip()][1:] == [
        ["exclude", "seen", "yes"],
        ["k", "core", "–"],
        ["ks", "5,", "10"],
        ["split", "kind", "last"],
    ]
    assert in_words(0.5) == "0.5"


class TestShopperPanel:
    def test_a_hit_is_marked(self) -> None:
        text = rendered(
            shopper_panel(Shopper("ann", ["tent"], [Suggestion("mat"), Suggestion("lamp", hit=True)], "lamp"))
        )
        assert text.index("tent") < text.index("mat") < text.index("lamp  ← bought next")
        assert "not recommended" not in text

    def test_a_miss_names_what_was_bought(self) -> None:
        text = rendered(shopper_panel(Shopper("ann", ["tent"], [Suggestion("mat")], "lamp")))
        assert "bought next, not recommended: lamp" in text

"""The report folder: a page that holds every number it was given, and figures that it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lexirec.reporting.content import (
    Breakdown,
    LearningCurve,
    LevelCensus,
    Listing,
    ReportContent,
    Shopper,
    Suggestion,
    SystemResult,
)
from lexirec.reporting.run_report import plain, write_report

FLOOR = {"recall@5": 0.15, "ndcg@5": 0.09, "recall@10": 0.2, "ndcg@10": 0.12}
LOST = {"recall@5": 0.16, "ndcg@5": 0.08, "recall@10": 0.19, "ndcg@10": 0.11}


def content() -> ReportContent:
    return ReportContent(
        "Toy | shop",
        "A lead.",
        [SystemResult("transitions", FLOOR, LOST, floor=True), SystemResult("GRAM", LOST, FLOOR, main=True)],
        {"split": "leave-last-out", "exclude_seen": [True, False]},
        LearningCurve([(1, 5.0), (2, 4.0)], [(2, 0.1)], best_step=2),
        [
            Breakdown(
                "popularity of the target", "recall@10", ["head", "tail"], [1200, 800], {"GRAM": [0.3, 0.02]}, "Thirds."
            )
        ],
        [LevelCensus(1, 8, 8, 160, 2.9, 0.05)],
        [Shopper("ann", ["tent"], [Suggestion("mat | blue"), Suggestion("lamp")], "stove")],
        ["Run `lexirec run` longer."],
        [Listing("Lists", ["coverage", "a|b"], {"GRAM": [".1", "–"]}, "what they mean")],
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "deep", content())


def test_every_image_of_the_page_is_there_beside_an_svg(page: Path) -> None:
    images = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert images == ["systems.png", "learning.png", "by-popularity-of-the-target.png", "identifiers.png"]
    for image in images:
        assert (page.parent / image).stat().st_size > 1000
        assert (page.parent / image).with_suffix(".svg").exists()


def test_tables_hold_the_numbers_and_mark_reference_best_and_loser(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    excluded = text[text.index("**Seen items excluded**") : text.index("**Seen items kept**")]
    assert "| transitions | .1500 | **.0900** | **.2000** | **.1200** | reference |" in excluded
    assert "| **GRAM** | **.1600** | .0800 | .1900 | .1100 | **below** |" in excluded
    assert (
        "- **GRAM is below the reference baselines in these users, seen items excluded: recall@10 .1900 against .2000"
        in text
    )
    assert "- GRAM is above the reference baselines in these users, seen items kept" in text


def test_every_table_has_rows_of_one_width(page: Path) -> None:
    for block in page.read_text(encoding="utf-8").split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_other_parts_stand_in_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Toy \\| shop\n\nA lead.\n")
    assert "| exclude seen | yes, no |" in text
    assert "Validation ndcg@10 selected the checkpoint of step 2." in text
    assert "| head | 1,200 | .3000 |" in text
    assert "| tail | 800 | .0200 |\n\nThirds.\n" in text
    listed = "| system | coverage | a\\|b |\n| --- | ---: | ---: |\n| GRAM | .1 | – |"
    assert f"## Lists\n\n{listed}\n\nwhat they mean\n" in text
    assert "| 1 | 8 | 8 | 160 | 2.90 | 5.0% |" in text
    assert "1. mat \\| blue\n2. lamp" in text
    assert "Bought next, not recommended: stove" in text
    assert text.endswith("## What to try next\n\n- Run `lexirec run` longer.\n")


def test_a_hit_is_marked_and_the_target_not_repeated(tmp_path: Path) -> None:
    shopper = Shopper("ann", ["tent"], [Suggestion("mat", hit=True)], "mat")
    text = write_report(tmp_path, ReportContent("t", "l", [], {}, shoppers=[shopper])).read_text(encoding="utf-8")
    assert "1. **mat** ← bought next" in text
    assert "not recommended" not in text


def test_what_is_not_given_is_left_out(tmp_path: Path) -> None:
    text = write_report(tmp_path, ReportContent("Title", "Lead.", [], {})).read_text(encoding="utf-8")
    assert text == "# Title\n\nLead.\n"
    assert [file.name for file in tmp_path.iterdir()] == ["report.md"]


def test_without_references_nothing_is_said_about_them(tmp_path: Path) -> None:
    text = write_report(tmp_path, ReportContent("t", "l", [SystemResult("a", FLOOR)], {})).read_text(encoding="utf-8")
    assert "| a | **.1500** | **.0900** | **.2000** | **.1200** | – |" in text
    assert "\n\n\n" not in text


def test_text_is_made_plain() -> None:
    assert plain("a|b *c*\n[d](e) <f>") == r"a\|b \*c\* \[d\](e) \<f\>"


def test_the_terminal_tables_do_not_load_matplotlib() -> None:
    code = "import sys, lexirec.reporting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

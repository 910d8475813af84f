import io

import pytest
from rich.console import Console

from lexirec.evaluation.published_figures import PublishedFigures
from lexirec.reporting.content import ReportContent, SystemResult
from lexirec.reporting.published_rows import UNTESTED, published_rows, published_table
from lexirec.reporting.run_report import write_report

PAPER = PublishedFigures(
    source="its paper, table 1",
    beside="model",
    metrics={"recall@5": 0.0641, "recall@10": 0.089},
    unequal={"texts": "no descriptions"},
)
LISTED = PublishedFigures(source="another paper", seen="excluded", metrics={"recall@10": 0.05})
OURS = [SystemResult("model", {"recall@10": 0.2}, {"recall@10": 0.0801}, main=True)]


def rows():
    return published_rows({"GRAM": PAPER, "TIGER": LISTED}, OURS, {"training rows": "three quarters"})


def test_a_row_stands_beside_the_figures_of_its_own_treatment_of_seen_items():
    gram, tiger = rows()
    assert gram.ours == {"recall@10": 0.0801}, "seen items kept, as published; and only what was measured"
    assert gram.ratio("recall@10") == pytest.approx(0.9)
    assert gram.ratio("recall@5") is None
    assert tiger.ours == {}


def test_what_is_not_equal_is_said_once_and_of_whom():
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(published_table(rows()))
    text = console.file.getvalue()
    assert ".0890" in text
    assert ".0801 (90%)" in text
    assert text.count("training rows: three quarters") == 1
    assert "Not equal, training rows: three quarters." in text
    assert "Not equal, texts: no descriptions (GRAM)." in text
    assert "TIGER: another paper." in text


def test_the_report_has_a_section_with_them_and_none_without(tmp_path):
    def report(folder, published):
        content = ReportContent("a run", "Measured.", OURS, {}, published=published)
        return write_report(tmp_path / folder, content).read_text(encoding="utf-8")

    text = report("with", rows())
    assert "## Published figures" in text
    assert "| GRAM | published, seen items kept | .0641 | .0890 |" in text
    assert UNTESTED in text
    assert "Published" not in report("without", [])

import json

from lexirec.workflows.audit.findings import Audit, Finding
from lexirec.workflows.audit.page import audit_page, write_page
from lexirec.workflows.audit.shortcuts import Figure, Shortcuts
from tests.workflows.audit.test_findings_tables import written

FIGURES = Shortcuts(
    12,
    {
        "low_branching": Figure("low branching", 7.25, "below 15 is few", True, "successors per item"),
        "counts": Figure("recall@10 of counts", 0.1234, "popularity 0.01", None, "the bar"),
    },
)
AUDIT = Audit(
    "shop <1>",
    [Finding("leak", "held-out events in training", "up", "split again", 0.25, ("user a",), "folds")],
    {"folds": "is anything selected on the test fold?"},
    {"neighbors": "there are no neighbors"},
    shortcuts=FIGURES,
)


def test_a_page_holds_findings_figures_and_what_was_skipped(tmp_path):
    write_page(AUDIT, tmp_path / "pages" / "audit.html")
    page = (tmp_path / "pages" / "audit.html").read_text(encoding="utf-8")
    for words in (
        "Audit of shop &lt;1&gt;",
        "held-out events in training",
        "25.0% of cases",
        "low branching",
        "7.2",
        "0.123",
        "1 of 1 shortcut structures: low branching",
        "neighbors: there are no neighbors",
    ):
        assert words in page


def test_without_figures_and_findings_their_parts_are_left_out():
    page = audit_page(Audit("shop", [], {"folds": "?"}, {}))
    assert [block.text for block in page.blocks if hasattr(block, "text")] == ["Checks"]


def test_figures_are_in_the_terminal_and_in_json():
    text = " ".join(written(AUDIT).split())
    assert "can counting solve these data? 1 of 1 shortcut structures: low branching" in text
    assert "measured on the last events of 12 training rows" in text
    found = json.loads(json.dumps(AUDIT.as_json()))["shortcuts"]
    assert found["figures"]["low_branching"] == {
        "name": "low branching",
        "value": 7.25,
        "reference": "below 15 is few",
        "shortcut": True,
        "meaning": "successors per item",
    }
    assert Audit("shop", [], {}, {}).as_json()["shortcuts"] is None

import io

from rich.console import Console

from lexirec.workflows.audit.findings import Audit, Finding, tables, verdict

FOUND = Finding("leak", "what it is", "up, by much", "mend it", 0.123, ("user a", "user b"), "neighbors")


def written(audit: Audit) -> str:
    console = Console(file=io.StringIO(), width=100)
    for part in tables(audit):
        console.print(part)
    return console.file.getvalue()


def test_a_finding_is_reported_in_full():
    text = written(Audit("mine", [FOUND], {"neighbors": "do they?"}, {"vectors": "there are none"}, 2.0))
    for part in ("leak", "neighbors", "12.3% of cases", "what it is", "up, by much", "mend it", "user a; user b"):
        assert part in text
    assert "skipped: vectors: there are none" in text
    assert text.rstrip().endswith("1 leak, 0 distortions, 0 notes; 1 checks ran in 2 s")


def test_stages_that_are_missing_for_one_reason_are_reported_together():
    missing = {f"stage evaluation.{number}": "not made" for number in range(40)}
    text = " ".join(written(Audit("mine", [], {}, missing)).split())
    assert text.count("not made") == 1
    assert "(40 in all)" in text
    assert "audit of mine" not in text


def test_verdict():
    assert verdict(Audit("mine", [FOUND, FOUND], {}, {})).startswith("2 leaks, 0 distortions")

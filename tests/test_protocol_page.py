"""docs/protocol.md names tests and checks; all of them exist."""

import re
from pathlib import Path

from lexirec.workflows.audit.checks import CHECKS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
TRAPS, _, _ = PAGE.partition("## What an audit reports")
GUARDS = [row.rsplit("|", 2)[1] for row in TRAPS.splitlines() if row.startswith("| ") and "guarded by" not in row]


def test_every_trap_is_guarded_by_tests_and_checks_that_exist():
    named = {name for guard in GUARDS for name in re.findall(r"`([^`]+)`", guard)}
    tests = {name for name in named if name.startswith("test_")}
    written = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("**/test_*.py"))
    assert [name for name in tests if f"def {name}(" not in written] == []
    assert named - tests == {check.name for check in CHECKS}
    assert all("`" in guard for guard in GUARDS)

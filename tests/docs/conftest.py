"""The scripts of the documentation, which are no package: MkDocs loads them from their folder."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs" / "generators"), str(ROOT / "docs")]

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets; skips the test where it is absent."""
    folder = Path(os.environ.get("LEXIREC_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "beauty" / "items.parquet").exists():
        pytest.skip(f"the real data are not at {folder} (set LEXIREC_DATA)")
    return folder

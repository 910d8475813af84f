"""Schemathesis against a live service: no failure of its checks, no status 5xx, over both databases.

`positive_data_acceptance` is left out: it wants every request that fits the schemas to be taken, but whether a filter
names a field, or an id an item, is known to the catalogue alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.live import LiveService, run_shop, wait_ready

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
COMMAND = ["--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"]
COMMAND += ["--exclude-checks", "positive_data_acceptance", "--workers", "1", "--seed", "0", "--max-examples", "20"]


def fuzzed(folder: Path, options: list[str]) -> None:
    with LiveService(run_shop(folder), folder, *options) as service:
        wait_ready(service.url)
        program = Path(sys.executable).with_name("st")
        run = subprocess.run(
            [program, "run", f"{service.url}/openapi.json", *COMMAND, "--no-color"],
            capture_output=True,
            text=True,
            cwd=folder,
        )
        failed = [line for line in service.log if line.get("status", 0) >= 500 or line["level"] == "error"]
    assert not failed, failed[:3]
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-1000:]
    assert re.search(r"Tested: [1-9][0-9]", run.stdout)


def test_over_sqlite(tmp_path):
    fuzzed(tmp_path, [])


def test_over_postgresql(tmp_path, postgres_server):
    fuzzed(tmp_path, ["--set", f'storage.url="{postgres_server.new_database()}"'])

"""Four times what the service can answer: it refuses the rest, answers the accepted in time, and is itself again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.serving.live import LiveService, saved_shop, wait_ready
from tests.serving.shop import CATALOG

TIMEOUT_MS = 1000


def overloaded(tmp_path, seconds: float) -> dict:
    (tmp_path / "items.json").write_text(json.dumps(CATALOG.item_ids))
    with LiveService(saved_shop(tmp_path / "model"), tmp_path, "--set", "logs.requests=false") as service:
        wait_ready(service.url)
        module = "lexirec.workflows.benchmarks.overload"
        options = ["--items", str(tmp_path / "items.json"), "--seconds", str(seconds), "--timeout-ms", str(TIMEOUT_MS)]
        command = [sys.executable, "-m", module, service.url, *options]
        done = subprocess.run(command, capture_output=True, text=True, env=service.environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert not [line for line in service.log if line["level"] == "error"]
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_four_times_the_capacity_is_refused_and_forgotten(tmp_path):
    found = overloaded(tmp_path, 20)
    assert found["load_late_p99_ms"] < TIMEOUT_MS / 4, "the load itself was late; measure on a quieter machine"
    assert found["offered_per_second"] > 3.5 * found["capacity_per_second"]
    assert found["failed"] == 0, found["failures"]
    assert found["refused"] > 0
    assert found["refused_without_retry_after"] == 0
    assert found["accepted"] > 0.2 * 20 * found["capacity_per_second"], "hardly anything was answered"
    assert found["accepted_p99_ms"] <= 2 * TIMEOUT_MS
    assert found["recovery_seconds"] is not None
    assert found["recovery_seconds"] <= 5

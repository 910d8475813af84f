"""After many publishes a service is what it was: memory, files, threads, seconds from start to ready."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from lexirec.client import Client
from lexirec.models.living_catalog import KIND
from lexirec.serving.catalog_versions.activating import KEPT
from tests.serving.live import LiveService, wait_ready
from tests.worlds.grown_shop import unpack

PUBLISHES, WARM = 15, 5


def status_of(process: int) -> tuple[float, int]:
    """Resident memory in MiB, and threads."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["VmRSS"].split()[0]) / 1024, int(values["Threads"])


def files_of(store: Path) -> int:
    return sum(1 for path in store.rglob("*") if path.is_file() and ".checked" not in path.parts)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_many_publishes_it_is_what_it_was(tmp_path):
    store = unpack(tmp_path).root
    memory, files, threads = [], [], []
    with LiveService("old-gram", tmp_path, "--with", "model") as service, Client(service.url, timeout=60) as shop:
        wait_ready(service.url)
        like = shop.items(limit=1).items[0].fields
        for number in range(PUBLISHES):
            rows = [{**like, "item_id": f"n{number}-{each}", "title": f"thing {number} {each}"} for each in range(3)]
            shop.write_items(rows)
            if number:
                shop.remove_item(f"n{number - 1}-0")
            shop.change_item("n0-1" if number > 1 else shop.items(limit=1).items[0].item_id, price=float(number))
            assert shop.publish(timeout=300).result["version"] == number + 1
            for _ in range(20):
                assert shop.recommend(history=[f"n{number}-1"], k=10, min_catalog_version=number + 1).items
            found = status_of(service.process.pid)
            memory.append(found[0])
            threads.append(found[1])
            files.append(files_of(store))
        last = [item.item_id for item in shop.recommend(history=["n3-1"], k=10).items]
    slope = np.polyfit(np.arange(PUBLISHES - WARM), memory[WARM:], 1)[0]
    assert slope < 1.0, f"{slope:.2f} MiB a publish: {[round(each) for each in memory]}"
    assert max(threads[WARM:]) <= max(threads[:WARM]) + 2
    assert len(list((store / KIND).iterdir())) <= KEPT + 1
    assert files[-1] <= 1.1 * files[KEPT], files
    with LiveService("old-gram", tmp_path, "--with", "model") as service:
        began = time.monotonic()
        wait_ready(service.url, 300)
        seconds = time.monotonic() - began
        answer = httpx.post(f"{service.url}/v1/recommend", json={"history": ["n3-1"], "k": 10}, timeout=60).json()
        assert [item["item_id"] for item in answer["items"]] == last
        assert answer["catalog_version"] == PUBLISHES
        after = status_of(service.process.pid)[0]
    assert after < memory[0] + 40
    assert seconds < 240

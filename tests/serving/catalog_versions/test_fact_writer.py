"""Facts are on disk before anybody hears that they are: many threads, several processes, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.models import facts_file
from lexirec.models.facts_file import FactsChange, FactsFile
from lexirec.serving.catalog_versions.fact_writer import FactWriter

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = pa.schema([("item_id", pa.string()), ("price", pa.float64())])


def writer(folder) -> FactWriter:
    return FactWriter(folder, lambda: SCHEMA)


def price(item: str, value: object) -> FactsChange:
    return FactsChange({item: {"price": value}})


def test_changes_that_wait_are_synced_together(tmp_path, monkeypatch):
    syncs, real, busy = [0], os.fdatasync, threading.Event()

    def slow(descriptor: int) -> None:
        syncs[0] += 1
        busy.set()
        time.sleep(0.1)
        real(descriptor)

    monkeypatch.setattr(facts_file.os, "fdatasync", slow)
    made = writer(tmp_path)
    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(made.put, price("a", 0.5))
        assert busy.wait(10)
        others = [threads.submit(made.put, price(f"i{number}", number)) for number in range(19)]
        assert [each.result() for each in (first, *others)] == [1] * 20
    assert syncs[0] < 10
    again = FactsFile(tmp_path)
    again.catch_up()
    assert len(again.values) == 20


def test_a_wrong_value_fails_alone(tmp_path, monkeypatch):
    made = writer(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(made.put, price(f"i{number}", "x" if number == 3 else 1)) for number in range(8)]
    failed = [number for number, job in enumerate(jobs) if job.exception() is not None]
    assert failed == [3]
    with pytest.raises(DataError, match=r"^price: the values are of another kind"):
        jobs[3].result()
    assert set(made.file.values) == {f"i{number}" for number in range(8) if number != 3}


def test_it_counts_what_changes(tmp_path):
    made = writer(tmp_path)
    assert made.put(FactsChange(hidden=("a", "b"))) == 2
    assert made.put(FactsChange(hidden=("b", "c"))) == 1
    assert made.put(FactsChange(shown=("a", "z"))) == 1
    assert made.file.hidden == {"b", "c"}


WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from lexirec.models import facts_file
from lexirec.models.facts_file import FactsChange
from lexirec.serving.catalog_versions.fact_writer import FactWriter
facts_file.LARGE = 20_000  # so that it is killed while the table is written, too
writer = FactWriter(Path(sys.argv[1]), lambda: pa.schema([("item_id", pa.string())]))
number = int(sys.argv[2])
while True:
    writer.put(FactsChange({f"{sys.argv[3]}-{number}": {"n": number}}))
    print(number, flush=True)
    number += 1
"""


def written(folder: Path, name: str, number: int, seconds: float) -> list[str]:
    """Start a writer, kill it after a while, and return the ids of the acknowledged changes."""
    command = [sys.executable, "-c", WRITER, str(folder), str(number), name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.wait()
    return [f"{name}-{each}" for each in (first + rest).split("\n")[:-1]]


@pytest.mark.long
def test_two_writers_are_killed_again_and_again_and_nothing_acknowledged_is_lost(tmp_path):
    acknowledged: dict[str, list[str]] = {"a": [], "b": []}

    def run(name: str) -> None:
        for turn in range(4):
            acknowledged[name] += written(tmp_path, name, 1_000_000 * turn, 0.2 + 0.13 * turn)

    threads = [threading.Thread(target=run, args=(name,)) for name in acknowledged]
    for thread in threads:
        thread.start()
    reader = FactsFile(tmp_path)
    while any(thread.is_alive() for thread in threads):
        reader.catch_up()
    for thread in threads:
        thread.join()
    reader.catch_up()
    again = FactsFile(tmp_path)
    again.catch_up()
    assert again.values == reader.values, "who read along knows the same"
    ids = {*acknowledged["a"], *acknowledged["b"]}
    assert len(ids) > 100
    assert not ids - set(again.values)

import logging
import os
import threading
import time

from lexirec.core import locks
from lexirec.core.locks import exclusive, holder


def test_the_lock_names_its_holder_and_goes_away(tmp_path):
    path = tmp_path / "x.lock"
    with exclusive(path, "work"):
        assert holder(path) == os.getpid()
    assert holder(path) is None
    assert not path.exists()


def test_a_stale_file_is_no_lock(tmp_path):
    path = tmp_path / "x.lock"
    path.write_text("99999999\n")
    assert holder(path) is None
    with exclusive(path, "work"):
        assert holder(path) == os.getpid()


def test_only_one_at_a_time(tmp_path):
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(5):
            with exclusive(tmp_path / "x.lock", "work"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_who_waits_is_told_whom_for(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(locks, "_LOG_SECONDS", 100)
    path = tmp_path / "x.lock"

    def wait() -> None:
        with exclusive(path, "codes 123"):
            pass

    with exclusive(path, "codes 123"):
        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + 30  # the word comes after a second of waiting, later on a busy machine
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.05)
    thread.join()
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for process {os.getpid()}, which is working on codes 123"
    ]

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


def test_a_file_replaced_between_opening_and_locking_is_opened_again(tmp_path, monkeypatch):
    """Somebody removes the file, another process locks a new one: a lock on the old file would be nobody's business."""
    path, real, opened = tmp_path / "x.lock", locks._try_lock, []

    def replaced(descriptor: int) -> bool:
        opened.append(os.fstat(descriptor).st_ino)
        if len(opened) == 1:
            path.rename(tmp_path / "old")  # kept, so that the new file gets another number
            path.touch()
        return real(descriptor)

    monkeypatch.setattr(locks, "_try_lock", replaced)
    with exclusive(path, "work"):
        monkeypatch.undo()
        assert holder(path) == os.getpid()
        assert len(opened) == 2
        assert opened[1] == path.stat().st_ino


def test_who_waits_gets_the_file_that_is_there_then(tmp_path):
    """The file is replaced while one waits: the lock is that of the new file, whoever still holds the old one."""
    path, held, done = tmp_path / "x.lock", threading.Event(), threading.Event()

    def wait() -> None:
        with exclusive(path, "work"):
            held.set()
            done.wait(30)

    with exclusive(path, "work"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.15)
        assert not held.is_set()
        path.rename(tmp_path / "old")
        path.touch()
        assert held.wait(30)
        assert holder(path) == os.getpid()
    assert holder(path) == os.getpid(), "the end of the first lock leaves the file of the second alone"
    done.set()
    thread.join()
    assert not path.exists()


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

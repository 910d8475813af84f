"""Faults of what a service stands on: it says so, goes on with what it can, and recovers without a restart."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.live import LiveService, WritingClient, run_shop, saved_shop, stored_event_ids, wait_ready

QUIET = ["--set", "logs.requests=false"]
EVENT = {"user_id": "u0", "item_id": "i1", "properties": {"text": "x" * 900}}


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.05)


def unexpected(service: LiveService) -> list[dict]:
    return [line for line in service.log if "traceback" in line or line.get("status", 0) == 500]


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; skips the test where this user may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# ---------------------------------------------------------------------------------------------------------- full disks


def filled(tmp_path: Path, folder: Path, spoil: Callable[[int], None], mend: Callable[[int], None]) -> None:
    """Fill the disk under a service's database, look what goes on, make space, look again."""
    options = ["--set", f'storage.url="sqlite:///{folder / "shop.db"}"', *QUIET]
    acknowledged: list[str] = []
    with LiveService(saved_shop(tmp_path / "model"), tmp_path, *options) as service:
        wait_ready(service.url)
        with httpx.Client(base_url=service.url, timeout=30) as client:

            def write(name: str, count: int = 20) -> httpx.Response:
                ids = [f"{name}-{number}" for number in range(count)]
                response = client.post("/v1/events", json={"events": [{**EVENT, "event_id": each} for each in ids]})
                acknowledged.extend(ids if response.status_code == 200 else [])
                return response

            assert write("before").status_code == 200
            spoil(service.process.pid)
            number = 0
            while (response := write(f"fill{number}")).status_code == 200:
                number += 1
                assert number < 500, "the disk never filled"
            assert response.status_code == 507, response.text
            assert response.json()["type"] == "/problems/storage-full"
            assert response.headers["retry-after"]
            assert client.put("/v1/users/u1", json={"attributes": {"text": "x" * 500}}).status_code in (200, 507)

            listed = client.post("/v1/recommend", json={"user_id": "u0", "k": 5})
            assert listed.status_code == 200
            assert "i1" not in [item["item_id"] for item in listed.json()["items"]], "the event is still read"
            assert client.get("/v1/users/u0/events").json()["events"]
            health = client.get("/health/ready")
            assert health.status_code == 200
            assert (health.json()["status"], health.json()["degraded"]) == ("degraded", ["writes"])

            mend(service.process.pid)
            until(lambda: client.get("/health/ready").json()["degraded"] == [])
            assert write("after").status_code == 200
        assert not unexpected(service)
        assert service.kill(signal.SIGTERM) == 0
    with LiveService(saved_shop(tmp_path / "model"), tmp_path, *options) as service:
        stored = stored_event_ids(service.url)
    assert not set(acknowledged) - set(stored)
    assert len(stored) == len(set(stored))


@pytest.mark.long
def test_a_full_disk_refuses_writes_and_recovers(tmp_path):
    with mounted(tmp_path / "disk", 2) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(1_000_000))
        filled(tmp_path, disk, lambda process: None, lambda process: filler.unlink())


@pytest.mark.long
def test_files_that_may_not_grow_are_as_a_full_disk(tmp_path):
    def limit(process: int, size: int) -> None:
        hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))

    folder = tmp_path / "disk"
    folder.mkdir()
    filled(tmp_path, folder, lambda process: limit(process, 0), lambda process: limit(process, 2**40))


# ---------------------------------------------------------------------------------------------------------- PostgreSQL


@pytest.mark.long
def test_a_crash_of_postgresql_is_told_and_over_when_it_is_back(tmp_path, postgres_server):
    options = ["--set", f'storage.url="{postgres_server.new_database()}"']
    writing, stop = WritingClient("e"), threading.Event()
    by_history: list[int] = []
    by_user: list[tuple[int, str]] = []
    with LiveService(saved_shop(tmp_path / "model"), tmp_path, *options) as service:
        url = service.url
        wait_ready(url)
        writing.start(url)

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=30) as client:
                while not stop.is_set():
                    by_history.append(client.post("/v1/recommend", json={"history": ["i1", "i2"]}).status_code)
                    response = client.post("/v1/recommend", json={"user_id": "u1"})
                    by_user.append((response.status_code, response.headers["content-type"]))

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: len(writing.acknowledged) > 10 and len(by_user) > 10)
        postgres_server.stop(signal.SIGQUIT)
        try:
            before = len(by_history)
            until(lambda: httpx.get(f"{url}/health/ready").status_code == 503)
            report = httpx.get(f"{url}/health/ready").json()
            assert not report["parts"]["database"]["ok"]
            assert "does not answer" in report["parts"]["database"]["detail"]
            assert httpx.get(f"{url}/health/live").status_code == 200
            until(lambda: len(by_history) > before + 20)
            assert httpx.get(f"{url}/v1/users/u1").status_code == 503
        finally:
            postgres_server.start()
        acknowledged = len(writing.acknowledged)
        until(lambda: httpx.get(f"{url}/health/ready").json()["status"] == "ok")
        until(lambda: len(writing.acknowledged) > acknowledged + 10)
        late = len(by_user)
        until(lambda: len(by_user) > late + 5)
        writing.stop()
        stop.set()
        asking.join()
        stored = stored_event_ids(url)
        assert not unexpected(service)
    assert set(by_history) == {200}
    assert {status for status, _ in by_user} == {200, 503}
    assert {kind for status, kind in by_user if status == 503} == {"application/problem+json"}
    assert {status for status, _ in by_user[late:]} == {200}
    assert not set(writing.acknowledged) - set(stored), "acknowledged events are lost"
    assert len(stored) == len(set(stored)), "events are doubled"


# ---------------------------------------------------------------------------------------------------- read-only stores


def serve_once(store: Path, *options: str) -> subprocess.CompletedProcess[str]:
    with LiveService("shop", store.parent, *options) as service:
        status = service.process.wait(120)
        service._reader.join(10)
        return subprocess.CompletedProcess([], status, "", "".join(service._lines))


@pytest.mark.long
def test_a_store_that_cannot_be_written_is_told(tmp_path):
    with mounted(tmp_path / "disk", 64) as disk:
        run_shop(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = serve_once(disk / "store")
        assert ended.returncode == 1
        assert "Read-only file system" in ended.stderr
        assert "Traceback" not in ended.stderr
        options = ["--set", f'storage.url="sqlite:///{tmp_path / "shop.db"}"']
        with LiveService("shop", disk, *options) as service:
            wait_ready(service.url)
            with httpx.Client(base_url=service.url, timeout=30) as client:
                report = client.get("/health/ready")
                assert report.status_code == 200
                assert report.json()["degraded"] == ["catalog"]
                item = client.post("/v1/recommend", json={"k": 1}).json()["items"][0]["item_id"]
                assert client.post("/v1/events", json={"user_id": "ann", "item_id": item}).status_code == 200
                for response in (
                    client.patch(f"/v1/items/{item}", json={"hidden": True}),
                    client.request("DELETE", f"/v1/items/{item}"),
                    client.post("/v1/items", json={"items": [{"item_id": "new", "title": "New"}]}),
                    client.post("/v1/catalog/rollback", json={"version": 0}),
                ):
                    assert response.status_code == 503, response.text
                    assert response.json()["type"] == "/problems/not-ready"
                    assert "make it writable" in response.json()["detail"]
                job = client.post("/v1/catalog/publish").json()
                until(lambda: client.get(f"/v1/jobs/{job['job_id']}").json()["state"] == "failed")
                assert "make it writable" in client.get(f"/v1/jobs/{job['job_id']}").json()["problem"]
                assert client.post("/v1/recommend", json={"k": 1}).json()["items"][0]["item_id"] == item


@pytest.mark.long
def test_a_database_that_cannot_be_written_ends_the_start_with_a_line(tmp_path):
    with mounted(tmp_path / "disk", 64) as disk:
        run_shop(disk)
        with LiveService("shop", disk) as service:
            wait_ready(service.url)
            assert service.kill(signal.SIGTERM) == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ended = serve_once(disk / "store")
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr

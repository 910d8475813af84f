"""Acknowledged events outlive `kill -9` and a full disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import Database, open_database
from lexirec.serving.database.tables import events

ROOT = Path(__file__).resolve().parents[3]


def kill_a_client(client: subprocess.Popen[str], run: int) -> list[str]:
    """Let a process write, kill it at a random moment, and return the events that were acknowledged before."""
    client.stdin.write(f"run{run}\n")
    client.stdin.flush()
    process, acknowledged, killed_at = None, [], None
    for line in client.stdout:
        word, _, rest = line.strip().partition(" ")
        if word == "pid":
            process = int(rest)
            if run % 5 == 4:  # while it opens the database, or recovers what the last one left
                time.sleep(random.random() / 20)
                os.kill(process, signal.SIGKILL)
        elif word == "ack":
            acknowledged.append(rest)
            if killed_at is None:
                killed_at = time.monotonic() + random.random() / 2
            if killed_at is not None and time.monotonic() >= killed_at and process is not None:
                os.kill(process, signal.SIGKILL)
                process = None
        elif word == "ended":
            return acknowledged
    raise AssertionError("the client ended by itself")


def stored_ids(database: Database) -> list[str]:
    return database.access.read(lambda connection: list(connection.scalars(select(events.c.event_id))))


def check_durability(url: str, kills: int) -> None:
    open_database(url).close()
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.killed_client", url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged: list[str] = []
    try:
        assert client.stdout.readline() == "ready\n"
        for run in range(kills):
            acknowledged += kill_a_client(client, run)
            with open_database(url) as database:
                stored = stored_ids(database)
                assert set(acknowledged) <= set(stored), "acknowledged events are lost"
                assert len(stored) == len(set(stored)), "events are there twice"
    finally:
        client.kill()
        client.wait()
    assert len(acknowledged) > 10 * kills
    with open_database(url) as database:
        retries = [
            NewEvent(f"user-{name.rpartition('-')[0]}", f"item-{int(name.rpartition('-')[2]) % 7}", event_id=name)
            for name in acknowledged
        ]
        for start in range(0, len(retries), 1000):
            assert set(database.events.ingest(retries[start : start + 1000]).result().results) == {"duplicate"}
        by_user = select(events.c.user_id, func.count()).group_by(events.c.user_id)
        counts = database.access.read(lambda connection: {row[0]: row[1] for row in connection.execute(by_user)})
        histories = database.users.histories(list(counts))
        assert {user: len(history) for user, history in histories.items()} == counts


def test_acknowledged_events_outlive_three_kills(database_url):
    check_durability(database_url, 3)


@pytest.mark.long
def test_acknowledged_events_outlive_twenty_kills(database_url):
    check_durability(database_url, 20)


FULL_DISK = """
import json, resource, sys
from lexirec.serving.database.errors import StorageFullError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import open_database

database = open_database(sys.argv[1])
more = {"text": "y" * 900}
send = lambda n: database.events.ingest([NewEvent("ann", f"A{n}", event_id=f"e{n}", properties=more)]).result()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
acknowledged, refused = [], 0
for number in range(600):
    try:
        if send(number).accepted:
            acknowledged.append(f"e{number}")
    except StorageFullError as error:
        assert "the disk is full" in str(error)
        refused += 1
        if refused == 5:
            break
readable = len(database.users.histories(["ann"])["ann"])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
again = send(10_000).accepted
left = database.close()
print(json.dumps([acknowledged, refused, readable, again, left]))
"""


def test_a_disk_that_is_full_for_a_while(sqlite_url):
    """The process may not write files over 1.5 MB, as on a small disk; then it may again."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, sqlite_url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    acknowledged, refused, readable, again, closed = json.loads(done.stdout)
    assert refused == 5
    assert len(acknowledged) > 20
    assert readable == len(acknowledged)
    assert again == 1
    assert closed
    with open_database(sqlite_url) as database:
        assert set(stored_ids(database)) == {*acknowledged, "e10000"}

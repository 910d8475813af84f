"""A client that is killed: for every line on its input a fresh process writes events and tells which were acknowledged.

Run as `python -m tests.serving.killed_client URL`. Importing takes seconds, so the processes are forks of one that has.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from itertools import count

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import Database, open_database

THREADS = 4


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once, and whole: a killed process tells nothing that it has not said


def send(database: Database, name: str) -> None:
    mine: list[NewEvent] = []
    for number in count():
        event = NewEvent(f"user-{name}", f"item-{number % 7}", event_id=f"{name}-{number}")
        mine.append(event)
        batch = [event, *random.sample(mine, min(len(mine), random.randrange(3)))]  # some are retries
        written = database.events.ingest(batch).result()
        assert not written.rejected
        say(f"ack {event.event_id}")


def write(url: str, run: str) -> None:
    say(f"pid {os.getpid()}")
    database = open_database(url)
    threads = [threading.Thread(target=send, args=(database, f"{run}-{number}")) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    url = sys.argv[1]
    say("ready")
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            write(url, line.strip())
            os._exit(0)
        os.waitpid(process, 0)
        say("ended")


if __name__ == "__main__":
    main()

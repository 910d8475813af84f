"""Events a second that a database acknowledges, by the number of clients at once, and the cost of histories.

Usage: `python benchmarks/serving_database.py URL [--seconds 3]` on a new database, such as
`sqlite:////tmp/new.db`; each client sends one event and waits for its commit before the next. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import Database, open_database

USERS, EVENTS = 32, 50


def acknowledged_per_second(database: Database, clients: int, seconds: float) -> dict[str, float]:
    """Let clients send one event after the other, and count what was acknowledged in the time."""
    waits: list[list[float]] = [[] for _ in range(clients)]
    end = time.perf_counter() + seconds
    commits = database.writer.counts.commits

    def send(client: int) -> None:
        while (started := time.perf_counter()) < end:
            name = f"{clients}-{client}-{len(waits[client])}"
            database.events.ingest([NewEvent(f"user-{client}", f"item-{len(name)}", event_id=name)]).result()
            waits[client].append(time.perf_counter() - started)

    threads = [threading.Thread(target=send, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = sorted(wait for client in waits for wait in client)
    return {
        "events_per_second": round(len(every) / seconds),
        "p50_ms": round(1000 * every[len(every) // 2], 2),
        "p99_ms": round(1000 * every[int(len(every) * 0.99)], 2),
        "events_per_commit": round(len(every) / max(1, database.writer.counts.commits - commits), 1),
    }


def batches_per_second(database: Database, rows: int, seconds: float) -> int:
    """Return the events a second of one client that sends many at a time."""
    end, sent = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        batch = [NewEvent(f"many-{n % 100}", f"item-{n % 997}", event_id=f"b{sent + n}") for n in range(rows)]
        database.events.ingest(batch).result()
        sent += rows
    return round(sent / seconds)


def history_microseconds(database: Database, newest: int | None) -> int:
    """Return the median microseconds of one call for the histories of a batch of users."""
    users = [f"reader-{user}" for user in range(USERS)]
    events = [
        NewEvent(user, f"item-{n}", time=1.7e9 + n, event_id=f"{user}-{n}") for user in users for n in range(EVENTS)
    ]
    for start in range(0, len(events), 1000):
        database.events.ingest(events[start : start + 1000]).result()
    seconds = []
    for _ in range(100):
        started = time.perf_counter()
        histories = database.users.histories(users, newest=newest)
        seconds.append(time.perf_counter() - started)
        assert len(histories) == USERS
    return round(1e6 * statistics.median(seconds))


def main() -> None:
    """Measure one database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with open_database(arguments.url) as database:
        results = {
            "clients": {n: acknowledged_per_second(database, n, arguments.seconds) for n in (1, 8, 64)},
            "batches_of_500_events_per_second": batches_per_second(database, 500, arguments.seconds),
            "histories_us": history_microseconds(database, None),
            "histories_newest_20_us": history_microseconds(database, 20),
        }
    print(json.dumps({"database": arguments.url.partition(":")[0], **results}))


if __name__ == "__main__":
    main()

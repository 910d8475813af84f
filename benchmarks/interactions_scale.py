"""Benchmark of reading interactions: time and peak memory on synthetic data of any size.

    python benchmarks/interactions_scale.py --events 10_000_000
    python benchmarks/interactions_scale.py --events 100_000_000 --users 10_000_000 --items 1_000_000

Writes items and events as Parquet into a temporary folder (TMPDIR), reads them in a process of their own, splits them
leave-last-out, and prints one JSON object: seconds, events per second and peak resident memory of the reading process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.splits import leave_last_out


def generate(folder: Path, events: int, users: int, items: int) -> None:
    """Write `items.parquet` and `events.parquet`: skewed items, ids as text, events of all users mixed in time."""
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '4GiB'")
        connection.execute(f"SET temp_directory = '{folder / 'spill'}'")
        connection.execute(
            f"COPY (SELECT 'item-' || i AS item_id, 'Thing number ' || i AS title FROM range({items}) t(i))"
            f" TO '{folder / 'items.parquet'}' (FORMAT parquet)"
        )
        # Hashes of the row number replace random numbers: the file is reproducible, and ids are not in file order.
        connection.execute(
            f"COPY (SELECT 'user-' || (hash(i) % {users}) AS user_id,"
            f" 'item-' || CAST(floor({items} * pow((hash(i + 1) % 1000003) / 1000003.0, 2)) AS BIGINT) AS item_id,"
            f" 1400000000 + CAST(hash(i + 2) % 100000000 AS BIGINT) AS time FROM range({events}) t(i))"
            f" TO '{folder / 'events.parquet'}' (FORMAT parquet)"
        )


def read(folder: Path) -> dict[str, float | int]:
    """Read and split the tables of `generate`; return times, sizes and peak memory."""
    started = time.perf_counter()
    catalog = Catalog.read(folder / "items.parquet", text=["title"])
    with_catalog = time.perf_counter()
    interactions = Interactions.read(folder / "events.parquet", catalog)
    with_events = time.perf_counter()
    split = leave_last_out(interactions)
    ended = time.perf_counter()
    events = len(interactions.sequences.items)
    return {
        "events": events,
        "users": len(interactions),
        "items": len(catalog),
        "test_cases": len(split.test),
        "catalog_seconds": round(with_catalog - started, 2),
        "read_seconds": round(with_events - with_catalog, 2),
        "split_seconds": round(ended - with_events, 2),
        "events_per_second": round(events / (with_events - with_catalog)),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "file_mib": (folder / "events.parquet").stat().st_size // 2**20,
    }


def main() -> None:
    """Generate the tables, read them in a fresh process, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, help="number of users (default: a tenth of the events)")
    parser.add_argument("--items", type=int, help="number of items (default: a hundredth of the events)")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        print(json.dumps(read(given.read)))
        return
    with tempfile.TemporaryDirectory(prefix="lexirec-scale-") as name:
        generate(Path(name), given.events, given.users or given.events // 10, given.items or given.events // 100)
        subprocess.run([sys.executable, __file__, "--read", name], check=True)


if __name__ == "__main__":
    main()

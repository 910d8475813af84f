"""Changes of items' facts per second: through the library, and over HTTP by clients that wait for each answer.

    python benchmarks/catalog_facts.py --items 12000 100000 --seconds 5

Prints one JSON object per number of items. A change is one new price; a batch holds 1,000 of them. `visible` counts
the changes that a filter of the very next request saw (all, or the run fails).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import uvicorn

from lexirec.core.runs import Stage
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.living_catalog import Facts
from lexirec.serving.answering.living import LivingSnapshots, Trained, simpler_models
from lexirec.serving.answering.loading import Loaded
from lexirec.serving.answering.snapshot import ModelIdentity, Snapshot
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.database.opening import open_database
from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from lexirec.serving.settings import ServeSettings

BATCH, CLIENTS = 1_000, 8


def catalog_of(items: int) -> Catalog:
    """Return a catalogue with five columns."""
    brands = [f"brand {number % 97}" for number in range(items)]
    return Catalog(
        pa.table(
            {
                "item_id": [f"item-{number:06}" for number in range(items)],
                "title": [f"A thing with a name of usual length, number {number}" for number in range(items)],
                "brand": brands,
                "price": np.linspace(1, 100, items),
                "stock": np.arange(items) % 50,
            }
        ),
        ("title", "brand"),
    )


def living_of(folder: Path, items: int) -> tuple[LivingCatalog, ScoreRecommender]:
    """Save a popularity model of so many items, and return its living catalogue."""
    recommender = ScoreRecommender(catalog_of(items), Popularity().fit(Sequences.from_lists([[0, 1]]), items))
    recommender.save(folder / "model")
    stage = Stage("baselines.popularity", "baselines", "k" * 64, folder / "model", "done")
    return LivingCatalog(Store(folder / "store"), "shop", "popularity", stage), recommender


@contextmanager
def served(folder: Path, living: LivingCatalog, recommender: ScoreRecommender) -> Iterator[str]:
    """Serve the catalogue on a free port of this machine, in this process."""
    catalog, rows = recommender.catalog, Sequences.from_lists([[0, 1]])
    simpler = simpler_models(catalog, rows)
    snapshot = Snapshot(ModelIdentity("shop", "v1"), recommender, catalog, simpler=simpler)
    snapshots = LivingSnapshots(living, Trained(snapshot.model, catalog, rows, lambda: snapshot))
    settings = ServeSettings.model_validate({"logs": {"requests": False}})
    service = Service(settings, open_database(f"sqlite:///{folder / 'serve.db'}"), Loaded(snapshot.model, snapshots))
    service.start()
    config = uvicorn.Config(create_app(service), port=0, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        service.stop()


def rate(seconds: float, change: Callable[[random.Random], int], threads: int = 1) -> dict[str, float]:
    """Repeat a change for some seconds; return changes a second, and milliseconds of one call."""
    took: list[float] = []
    done = [0] * threads
    end = time.monotonic() + seconds
    started = time.monotonic()

    def run(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < end:
            began = time.monotonic()
            done[number] += change(chance)
            took.append(time.monotonic() - began)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    quantiles = np.quantile(took, [0.5, 0.99]) * 1000
    return {
        "per_second": round(sum(done) / (time.monotonic() - started), 1),
        "p50_ms": round(float(quantiles[0]), 2),
        "p99_ms": round(float(quantiles[1]), 2),
    }


def measure(folder: Path, items: int, seconds: float) -> dict[str, Any]:
    """Measure the library, then HTTP."""
    living, recommender = living_of(folder, items)
    found: dict[str, Any] = {"items": items}

    def rows(chance: random.Random, number: int) -> list[dict[str, Any]]:
        chosen = chance.sample(range(items), number)
        return [{"item_id": f"item-{each:06}", "price": round(chance.uniform(1, 100), 2)} for each in chosen]

    def update(number: int) -> Callable[[random.Random], int]:
        return lambda chance: living.update(pa.Table.from_pylist(rows(chance, number)))[1]

    found["library, single"] = rate(seconds, update(1))
    found["library, 1,000 a batch"] = rate(seconds, update(BATCH))
    with served(folder, living, recommender) as url, httpx.Client(base_url=url, timeout=60) as client:

        def patch(chance: random.Random) -> int:
            row = rows(chance, 1)[0]
            answer = client.patch(f"/v1/items/{row['item_id']}", json={"fields": {"price": row["price"]}})
            answer.raise_for_status()
            return 1

        def batch(chance: random.Random) -> int:
            answer = client.post("/v1/items", json={"items": rows(chance, BATCH)})
            answer.raise_for_status()
            return int(answer.json()["changed"])

        def visible(chance: random.Random) -> int:
            price = 1000 + chance.random()
            item = f"item-{chance.randrange(items):06}"
            client.patch(f"/v1/items/{item}", json={"fields": {"price": price}}).raise_for_status()
            body = {"k": 5, "allow": [f"price={price!r}"]}
            answer = client.post("/v1/recommend", json=body).json()
            assert [each["item_id"] for each in answer["items"]] == [item], answer
            return 1

        found["HTTP, single, 1 client"] = rate(seconds, patch)
        found[f"HTTP, single, {CLIENTS} clients"] = rate(seconds, patch, CLIENTS)
        found["HTTP, 1,000 a batch"] = rate(seconds, batch)
        found["visible"] = rate(seconds, visible)
    reads = []
    for _ in range(3):
        began = time.monotonic()
        Facts.read(living.folder).applied(recommender.catalog)
        reads.append(time.monotonic() - began)
    found["read_ms"] = round(1000 * statistics.median(reads), 1)
    found["bytes"] = sum(path.stat().st_size for path in living.folder.iterdir())
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[12_000, 100_000])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    given = parser.parse_args()
    for items in given.items:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            print(json.dumps(measure(Path(folder), items, given.seconds)))


if __name__ == "__main__":
    main()

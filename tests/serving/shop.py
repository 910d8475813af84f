"""A small shop for tests of the service: a catalogue, a memory as its model, and a service over a new database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from starlette.testclient import TestClient

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.transitions import Transitions
from lexirec.serving.answering.loading import Loaded
from lexirec.serving.answering.snapshot import ModelIdentity, SimilarItems, SimplerModel, Snapshot
from lexirec.serving.database.opening import open_database
from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from lexirec.serving.settings import ServeSettings

ITEMS = 40
_rng = np.random.default_rng(7)
CATALOG = Catalog(
    pa.table(
        {
            "item_id": [f"i{number}" for number in range(ITEMS)],
            "title": [f"Thing {number}" for number in range(ITEMS)],
            "brand": [("Acme", "Zed", "Bo", None)[number % 4] for number in range(ITEMS)],
            "price": [float(number) for number in range(ITEMS)],
        }
    ),
    ("title",),
)
TRAIN = Sequences.from_lists([_rng.choice(ITEMS, 6, replace=False).tolist() for _ in range(60)])


def recommender() -> ScoreRecommender:
    return ScoreRecommender(CATALOG, Memory().fit(TRAIN, ITEMS))


def snapshot(model: Any = None, *, name: str = "shop") -> Snapshot:
    simple = (
        SimplerModel("memory", ScoreRecommender(CATALOG, Transitions().fit(TRAIN, ITEMS))),
        SimplerModel("popularity", ScoreRecommender(CATALOG, Popularity().fit(TRAIN, ITEMS))),
    )
    vectors = np.eye(ITEMS, 8, dtype=np.float32) + 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = SimilarItems(vectors=vectors, names=("vectors.text",))
    return Snapshot(ModelIdentity(name, "v1"), model or recommender(), CATALOG, simpler=simple, similar=similar)


def settings(**values: Any) -> ServeSettings:
    return ServeSettings.model_validate({"logs": {"requests": False}, **values})


@contextmanager
def serving(url: str, made: Snapshot | None = None, **values: Any) -> Iterator[tuple[TestClient, Service]]:
    """A started service over a database, and a client of it in the same process."""
    service = Service(settings(**values), open_database(url), Loaded.of(made or snapshot()))
    service.start()
    try:
        with TestClient(create_app(service), raise_server_exceptions=False) as client:
            yield client, service
    finally:
        service.stop()

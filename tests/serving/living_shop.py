"""The shop of `tests.serving.shop` with a catalogue that changes, and a clock that tests set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from lexirec.core.manifest import Recipe
from lexirec.core.runs import Stage
from lexirec.core.store import Store
from lexirec.serving.answering.living import LivingSnapshots, Trained
from lexirec.serving.answering.loading import Loaded
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.database.opening import open_database
from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from tests.serving.conftest import NOW, Clock
from tests.serving.shop import TRAIN, recommender, settings, snapshot


def living_catalog(folder: Path) -> LivingCatalog:
    """The catalogue of the shop's saved recommender."""
    store, recipe = Store(folder / "store"), Recipe("baselines", 1, {"kind": "memory"}, {})
    made = store.ensure(recipe, lambda out: recommender().save(out))
    return LivingCatalog(store, "shop", "memory", Stage("baselines.memory", "baselines", recipe.key, made, "done"))


def trained(model: Any = None) -> Trained:
    made = snapshot(model)
    return Trained(made.model, made.catalog, TRAIN, lambda: made)


@contextmanager
def living_service(folder: Path, model: Any = None, **values: Any) -> Iterator[tuple[TestClient, Service, Clock]]:
    """A started service over a catalogue that changes; its clock stands at `NOW`."""
    clock = Clock()
    living = LivingSnapshots(living_catalog(folder), trained(model), clock)
    database = open_database(f"sqlite:///{folder / 'shop.db'}", clock=clock)
    service = Service(settings(**values), database, Loaded(snapshot().model, living))
    service.snapshots._clock = clock
    service.start()
    try:
        with TestClient(create_app(service), raise_server_exceptions=False) as client:
            yield client, service, clock
    finally:
        service.stop()


__all__ = ["NOW", "living_catalog", "living_service"]

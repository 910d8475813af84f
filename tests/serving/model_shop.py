"""A store with small finished experiments, and services over it in the same process, for tests of several models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from lexirec.core.store import Store
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import run_experiment
from lexirec.serving.answering.remembering import ServedModels
from lexirec.serving.answering.sources import SourceFinder
from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from lexirec.serving.starting import open_for
from tests.serving.live import EXPERIMENT
from tests.serving.shop import settings


def run(folder: Path, name: str = "shop", *, window: int | None = None, products: int = 84) -> Store:
    """Run a small experiment whose recommender is a memory; another window makes another model of the same items."""
    text = EXPERIMENT.replace('"shop"', f'"{name}"').replace("products = 84", f"products = {products}")
    if window is not None:
        text = text.replace('kind = "memory"', f'kind = "memory"\nwindow = {window}')
    (folder / f"{name}.toml").write_text(text)
    store = Store(folder / "store")
    run_experiment(load_experiment(folder / f"{name}.toml"), store)
    return store


@contextmanager
def serving_store(
    store: Store, name: str = "shop", part: str | None = None, **values: Any
) -> Iterator[tuple[TestClient, Service]]:
    """A started service of an experiment, as `lexirec serve` makes it, and a client of it in the same process."""
    chosen = settings(**values)
    database = open_for(chosen, store, "shop")
    try:
        served = ServedModels(database.models, SourceFinder(store, chosen.models.root), name, part)
        service = Service(chosen, database, served.first(chosen.models.start), served)
        service.start()
    except BaseException:
        database.close()
        raise
    try:
        with TestClient(create_app(service), raise_server_exceptions=False) as client:
            yield client, service
    finally:
        service.stop()


def job_of(client: Any, response: Any) -> dict[str, Any]:
    """Wait for a job; return what became of it."""
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    until = time.monotonic() + 60
    while job["state"] == "running":
        assert time.monotonic() < until, "the job does not end"
        time.sleep(0.02)
        job = client.get(f"/v1/jobs/{job['job_id']}").json()
    return job


def loaded(client: Any, name: str, **values: Any) -> dict[str, Any]:
    """Load a model; return the result of the job."""
    job = job_of(client, client.post("/v1/models", json={"name": name, **values}))
    assert job["state"] == "done", job
    result: dict[str, Any] = job["result"]
    return result


def activated(client: Any, name: str) -> dict[str, Any]:
    """Activate a model; return what the service says about it."""
    response = client.post(f"/v1/models/{name}/activate")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def answer_of(client: Any, **question: Any) -> dict[str, Any]:
    """Return the answer to a request for a list."""
    response = client.post("/v1/recommend", json=question)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def listed(client: Any, **question: Any) -> list[str]:
    """Return the ids of a list."""
    return [item["item_id"] for item in answer_of(client, **question)["items"]]


def everything(client: Any, **question: Any) -> set[str]:
    """Return the ids of all items that may be recommended: of a newcomer's list with as many places as there are."""
    return set(listed(client, k=200, **question))

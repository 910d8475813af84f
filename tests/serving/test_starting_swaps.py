"""Models are swapped, versions published and taken back under load: no request fails, answers are of one snapshot."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from lexirec.core.runs import recommenders, runs
from lexirec.core.store import Store
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from tests.serving.live import LiveService, wait_ready
from tests.serving.model_shop import job_of, loaded, run

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROUNDS, ROLLBACKS, THREADS = 10, 5, 3


@dataclass
class Load:
    """Threads that ask all the time, and what they were answered.

    Attributes:
        answers: Of each: times of the request and of the answer, its body, and whether all items were asked for.
        failures: Everything else.
    """

    url: str
    history: list[str]
    answers: list[tuple[float, float, dict, bool]] = field(default_factory=list)
    failures: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(THREADS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self._stop.is_set():
                whole = chance.random() < 0.3  # a newcomer's list of all items, or the model's for a history
                question = {"k": 200} if whole else {"history": chance.sample(self.history, 3), "k": 10}
                began = time.monotonic()
                try:
                    response = client.post("/v1/recommend", json={**question, "timeout_ms": 10_000})
                    if response.status_code == 200:
                        self.answers.append((began, time.monotonic(), response.json(), whole))
                    else:
                        self.failures.append(response.text)
                except httpx.TransportError as error:
                    self.failures.append(error)


class Catalogs:
    """The items of every version of every model, by what answers say of themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.items: dict[tuple[str, str, int], set[str]] = {}

    def look(self, *names: str) -> None:
        """Read the versions that there are now; a rollback does not change one."""
        for name in names:
            for each in runs(self._store, name):
                living = LivingCatalog(self._store, name, "memory", recommenders(each)["memory"])
                for version in living.state.versions:
                    key = name, living.trained.key[:12], version.number
                    if key not in self.items:
                        self.items[key] = set(living.catalog(version.number).item_ids)


def test_models_and_versions_are_swapped_under_load_and_no_request_fails(tmp_path: Path) -> None:
    run(tmp_path, "b", window=3, products=90)
    store = run(tmp_path)
    catalogs, hidden, undone = Catalogs(store), list[tuple[float, str]](), list[tuple[float, str]]()
    with LiveService("shop", tmp_path) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        wait_ready(service.url)
        catalogs.look("shop", "b")
        known = sorted(set.intersection(*catalogs.items.values()))
        like = http.get(f"/v1/items/{known[0]}").json()["fields"]
        with Load(service.url, known[10:30]) as load:
            loaded(http, "b")
            swaps = publishes = rollbacks = 0
            for number in range(ROUNDS):
                row = {**like, "item_id": f"new-{number}", "title": f"{like['title']} {number}"}
                assert http.post("/v1/items", json={"items": [row]}).status_code == 200
                publishes += job_of(http, http.post("/v1/catalog/publish"))["state"] == "done"
                catalogs.look("shop", "b")
                assert http.patch(f"/v1/items/{known[number]}", json={"hidden": True}).status_code == 200
                hidden.append((time.monotonic(), known[number]))
                if number % 2:  # the item of this round, and others that were carried along, are published no more
                    undone += [(time.monotonic(), f"new-{each}") for each in range(number + 1)]
                    rollbacks += http.post("/v1/catalog/rollback", json={}).status_code == 200
                if number % 3 == 2:
                    swaps += http.post("/v1/models/rollback").status_code == 200
                else:
                    active = http.get("/v1/info").json()["model"]["name"]
                    swaps += http.post(f"/v1/models/{'b' if active == 'shop' else 'shop'}/activate").status_code == 200
                catalogs.look("shop", "b")
            assert (swaps, publishes, rollbacks) == (ROUNDS, ROUNDS, ROLLBACKS)
        metrics = http.get("/metrics").text
    assert not load.failures, load.failures[:3]
    assert len(load.answers) > 200
    check(load, catalogs, hidden, undone)
    assert "lexirec_invalid_items_total 0.0" in metrics
    assert not [line for line in service.log if line["level"] == "error"]


def check(load: Load, catalogs: Catalogs, hidden: list[tuple[float, str]], undone: list[tuple[float, str]]) -> None:
    """Check every answer against the catalogue of the version that it names, and hidden items from their time on."""
    seen, ever = set(), {item for _, item in hidden}
    for began, ended, answer, whole in load.answers:
        key = answer["model"]["name"], answer["model"]["version"], answer["catalog_version"]
        seen.add(key)
        ids = {item["item_id"] for item in answer["items"]}
        assert ids <= catalogs.items[key], f"{key}: items of another version"
        assert not ids & {item for when, item in hidden if when <= began}, f"{key}: hidden items"
        assert answer["fallback"] == ("newcomer" if whole else None)
        if whole:
            out = ever | {item for when, item in undone if when <= ended}
            assert catalogs.items[key] - ids <= out, f"{key}: items of this version are missing"
            assert answer["legal_items"] == len(ids)
        else:
            assert len(ids) == 10
    assert {name for name, _, _ in seen} == {"shop", "b"}
    assert len(seen) >= 8, "the load met few of the snapshots"

"""Snapshots: which one answers, how requests wait for a version, and that nothing keeps an old one."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

from lexirec.models.item_windows import Windows
from lexirec.serving.answering.snapshots import MOST_PATIENT, Snapshots
from lexirec.serving.problems import ProblemError
from tests.serving.conftest import Clock
from tests.serving.shop import ITEMS, serving, snapshot


def version(number: int, name: str = "shop"):
    return replace(snapshot(name=name), catalog_version=number)


def test_a_request_waits_for_its_version_on_the_loop_alone():
    snapshots = Snapshots(version(1))
    threading.Timer(0.3, snapshots.put, [version(2)]).start()

    async def run() -> tuple[float, int]:
        turns, waiting = 0, asyncio.ensure_future(snapshots.reached(None, 2, 10))
        started = time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        await waiting
        return time.monotonic() - started, turns

    seconds, turns = asyncio.run(run())
    assert 0.2 < seconds < 5
    assert turns >= 5, "the loop went on"
    assert not snapshots._patient


def test_versions_that_do_not_come_are_a_conflict():
    snapshots = Snapshots(version(3))
    snapshots.put(version(9, "other"))

    async def wait(name, least) -> float:
        started = time.monotonic()
        await snapshots.reached(name, least, 0.1)
        return time.monotonic() - started

    assert asyncio.run(wait(None, 3)) < 0.1
    assert asyncio.run(wait("other", 9)) < 0.1
    with pytest.raises(ProblemError, match="min_catalog_version is 4, but version 3 still answers") as refused:
        asyncio.run(wait(None, 4))
    assert refused.value.status == 409
    with pytest.raises(ProblemError, match="there is no model 'shob'") as refused:
        asyncio.run(wait("shob", 1))
    assert refused.value.status == 404


def test_too_many_that_wait_are_refused():
    snapshots = Snapshots(version(1))

    async def run() -> None:
        crowd = [asyncio.ensure_future(snapshots.reached(None, 2, 30)) for _ in range(MOST_PATIENT)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError, match="wait for a catalogue version"):
            await snapshots.reached(None, 2, 30)
        snapshots.put(version(2))
        await asyncio.gather(*crowd)

    asyncio.run(run())


def test_recommend_rank_and_batches_wait_for_a_version(sqlite_url):
    with serving(sqlite_url, version(1)) as (client, service):
        for route, body in (
            ("recommend", {"k": 2, "min_catalog_version": 2, "timeout_ms": 100}),
            ("rank", {"candidates": ["i1"], "min_catalog_version": 2, "timeout_ms": 100}),
        ):
            started = time.monotonic()
            refused = client.post(f"/v1/{route}", json=body)
            assert time.monotonic() - started >= 0.1
            assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
        threading.Timer(0.3, service.snapshots.put, [version(2)]).start()
        requests = [{"k": 2, "min_catalog_version": 2, "timeout_ms": 9000}, {"k": 1}]
        requests += [{"k": 1, "min_catalog_version": 5, "timeout_ms": 50}]
        answers = client.post("/v1/recommend/batch", json={"requests": requests}).json()["responses"]
        assert [answer.get("catalog_version", answer.get("status")) for answer in answers] == [2, 1, 409]
        answer = client.post("/v1/recommend", json={"k": 1, "catalog_version": 2, "min_catalog_version": 2})
        assert answer.json()["catalog_version"] == 2


def test_the_first_reader_after_a_moment_sees_its_items_and_all_snapshots_change():
    clock = Clock()
    begins = np.full(ITEMS, -np.inf)
    begins[7] = clock.now + 5
    windows = Windows(begins, np.full(ITEMS, np.inf))
    shown = np.arange(ITEMS) != 3
    made = [version(1, name) for name in ("a", "b")]
    made = [each.with_facts(each.catalog, shown, windows, 1, clock.now) for each in made]
    snapshots = Snapshots(made[0], clock)
    snapshots.put(made[1])
    first = snapshots.active
    numbers = first.numbers
    assert np.flatnonzero(~first.available).tolist() == [3, 7]
    clock.now += 4.999
    assert snapshots.active is first, "nothing is made anew before"
    clock.now += 0.001
    for each in (snapshots.active, snapshots.pick("b", None), *snapshots.all):
        assert np.flatnonzero(~each.available).tolist() == [3]
        assert each.key != first.key, "rules that were compiled before are not used again"
    assert snapshots.active.numbers is numbers


def test_nothing_keeps_an_old_snapshot(sqlite_url):
    with serving(sqlite_url) as (client, service):
        service.snapshots.put(snapshot())  # the first one is the model itself, and stays with it
        old = weakref.ref(service.snapshots.active)
        client.post("/v1/recommend", json={"history": ["i1"], "k": 3, "deny": ["brand=Acme"]})
        service.snapshots.put(snapshot())
        client.post("/v1/recommend", json={"history": ["i1"], "k": 3})
        deadline = time.monotonic() + 20
        while old() is not None and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.05)
        assert old() is None

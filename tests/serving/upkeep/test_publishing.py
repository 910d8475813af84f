"""Versions by themselves: when, what a failure does, and what is told about it."""

from __future__ import annotations

import re
import time

import pytest

from lexirec.core.errors import DataError
from lexirec.models.living_catalog import Version
from lexirec.serving.catalog_versions import making
from lexirec.serving.http.jobs import Jobs
from lexirec.serving.http.metrics import Metrics
from lexirec.serving.settings import CatalogSettings
from lexirec.serving.upkeep.publishing import FIRST_PAUSE, LONGEST_PAUSE, Publisher, seconds_of
from tests.serving.conftest import Clock
from tests.serving.living_shop import living_service


class Staging:
    """What a publisher sees of a living catalogue: a number of staged changes, and a publish that may fail."""

    class Changes:
        def __init__(self, size: int) -> None:
            self.size = size

        def __bool__(self) -> bool:
            return self.size > 0

    def __init__(self) -> None:
        self.living = self.catalog = self
        self.staged = Staging.Changes(0)
        self.published, self.error = 0, ""

    @property
    def waiting(self):
        return self.staged

    def stage(self, size: int) -> None:
        self.staged = Staging.Changes(size)

    def publish(self) -> Version:
        if self.error or not self.staged:
            raise DataError(self.error or "nothing is staged")
        self.published += 1
        self.stage(0)
        return Version(self.published, "k", counts={"added": 1})

    def refresh(self) -> bool:
        return True

    def refused(self, number: int) -> dict[str, str]:
        return {}


@pytest.fixture
def world():
    """A publisher, what is staged, its clock, and a function that changes its settings."""
    staging, clock, settings, jobs = Staging(), Clock(), [CatalogSettings()], Jobs()
    publisher = Publisher(lambda: staging, jobs, Metrics(), lambda: settings[0], clock)

    def use(**values) -> None:
        settings[0] = CatalogSettings(**values)

    yield publisher, staging, clock, use
    jobs.close()


def settled(publisher: Publisher) -> bool:
    """Publish where it is due, and wait for the job."""
    due = publisher.publish_if_due()
    deadline = time.monotonic() + 20
    while publisher._job is not None and not publisher._job.done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return due


def test_by_default_nothing_is_published_by_itself(world):
    publisher, staging, clock, _ = world
    staging.stage(10_000)
    clock.now += 1e7
    assert publisher.due_in() is None
    assert not settled(publisher)


def test_after_a_time_where_something_is_staged(world):
    publisher, staging, clock, use = world
    use(publish_every="60s")
    clock.now += 500
    assert not settled(publisher)
    staging.stage(1)
    assert publisher.due_in() == 60
    clock.now += 59
    staging.stage(2)
    assert publisher.due_in() == pytest.approx(1), "further changes do not put it off"
    assert publisher.lag == 59
    assert not settled(publisher)
    clock.now += 1
    assert settled(publisher)
    assert staging.published == 1
    assert publisher.lag == 0
    staging.stage(1)
    clock.now += 30
    assert publisher.due_in() == 60, "from when it is staged, as far as is known"


def test_after_a_number_of_changes(world):
    publisher, staging, _, use = world
    use(publish_after=500)
    staging.stage(499)
    assert not settled(publisher)
    staging.stage(500)
    assert settled(publisher)
    assert staging.published == 1


def test_a_failure_changes_nothing_is_told_and_backs_off(world):
    publisher, staging, clock, use = world
    use(publish_after=1)
    staging.stage(3)
    staging.error = "a check fails"
    assert settled(publisher)
    assert publisher.last_problem == "a check fails"
    assert staging.staged.size == 3
    pauses = []
    for _ in range(12):
        pauses.append(publisher.due_in())
        assert not settled(publisher)
        clock.now += pauses[-1]
        assert settled(publisher)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert 'lexirec_publishes_total{result="failed"} 13.0' in publisher._metrics.text().decode()
    staging.error = ""
    clock.now += LONGEST_PAUSE
    assert settled(publisher)
    assert publisher.last_problem is None
    staging.stage(1)
    assert publisher.due_in() == 0, "the pause is forgotten"


def test_that_nothing_is_staged_is_no_failure_of_the_service(world):
    publisher, _, _, _ = world
    with pytest.raises(DataError, match="nothing is staged"):
        publisher.publish()
    assert publisher.last_problem is None


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("15m", 900), ("6h", 21_600)])
def test_times_have_units(text, seconds):
    assert seconds_of(CatalogSettings(publish_every=text).publish_every) == seconds


@pytest.mark.parametrize("text", ["60", "0s", "1d", "s", "-1s", "1.5h"])
def test_other_times_are_refused(text):
    with pytest.raises(ValueError, match="publish_every"):
        CatalogSettings(publish_every=text)


def wait_for(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_service_publishes_by_itself(tmp_path):
    with living_service(tmp_path, catalog={"publish_after": 2}) as (client, _, _):
        client.post("/v1/items", json={"item_id": "new", "title": "New"})
        about = client.get("/v1/catalog").json()
        assert (about["staged"], about["last_problem"], about["next_publish_seconds"]) == (1, None, None)
        client.post("/v1/items", json={"item_id": "newer", "title": "Newer"})
        question = {"k": 200, "min_catalog_version": 1, "timeout_ms": 10_000}
        wait_for(lambda: client.post("/v1/recommend", json=question).status_code == 200)
        answer = client.post("/v1/recommend", json=question).json()
        assert {"new", "newer"} < {item["item_id"] for item in answer["items"]}
        about = client.get("/v1/catalog").json()
        assert (about["version"], about["staged"], about["lag_seconds"]) == (1, 0, 0.0)
        assert 'lexirec_publishes_total{result="done"} 1.0' in client.get("/metrics").text


def test_a_version_that_fails_by_itself_is_told(tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("a check fails")

    monkeypatch.setattr(making, "check_version", fail)
    with living_service(tmp_path, catalog={"publish_after": 1}) as (client, _, _):
        client.post("/v1/items", json={"item_id": "new", "title": "New"})
        wait_for(lambda: client.get("/v1/catalog").json()["last_problem"] is not None)
        about = client.get("/v1/catalog").json()
        assert (about["version"], about["staged"], about["last_problem"]) == (0, 1, "a check fails")
        assert 0 < about["next_publish_seconds"] <= FIRST_PAUSE
        assert about["lag_seconds"] > 0
        text = client.get("/metrics").text
        assert 'lexirec_publishes_total{result="failed"} 1.0' in text
        assert re.search(r"lexirec_catalog_lag_seconds [0-9.]*[1-9]", text)
        assert [item["item_id"] for item in client.get("/v1/items?state=staged").json()["items"]] == ["new"]
        assert client.post("/v1/recommend", json={"k": 3}).status_code == 200
        monkeypatch.undo()
        assert client.post("/v1/catalog/publish").status_code == 202  # who mends it need not wait
        wait_for(lambda: client.get("/v1/catalog").json()["version"] == 1)
        wait_for(lambda: client.get("/v1/catalog").json()["last_problem"] is None)

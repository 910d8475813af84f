"""A database and a plain model of it, driven by the same random operations, hold the same at every step."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete

from lexirec.serving.database.errors import ConflictError, DatabaseError, ErasedError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.impressions import Impression
from lexirec.serving.database.opening import Database, open_database
from lexirec.serving.database.tables import metadata
from lexirec.serving.database.write_queue import single
from tests.serving.conftest import NOW, Clock

DAY = 86_400.0
USERS = ["ann", "bob", "cat", "session:1", "session:2"]
ITEMS = ["A1", "A2", "a/3", "ü"]

events = st.builds(
    NewEvent,
    user_id=st.sampled_from(USERS),
    item_id=st.sampled_from(ITEMS),
    type=st.sampled_from(["view", "buy"]),
    time=st.sampled_from([None, NOW - 5, NOW - 5.5, int(NOW), NOW + 3 * 3600]),
    value=st.sampled_from([None, None, 1, 2.5]),
    event_id=st.sampled_from([None, "e1", "e2", "e3", "e4"]),
)


class Model:
    """What a database holds, in plain dicts and lists, and what each operation should do."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users: dict[str, dict[str, Any]] = {}
        self.created: dict[str, float] = {}
        self.into: dict[str, str] = {}
        self.erased: dict[str, float] = {}
        self.events: list[dict[str, Any]] = []  # in order of arrival
        self.impressions: dict[str, str | None] = {}

    def owner(self, user: str) -> str:
        return self.into.get(user, user)

    def is_erased(self, user: str) -> bool:
        return user in self.erased and self.erased[user] >= self.clock.now - 30 * DAY

    def create(self, user: str) -> None:
        self.users.setdefault(user, {})
        self.created.setdefault(user, self.clock.now)

    def history(self, user: str) -> list[dict[str, Any]]:
        own = [event for event in self.events if event["user"] == self.owner(user)]
        return sorted(own, key=lambda event: event["time"])  # stable: ties keep the order of arrival

    def ingest(self, batch: list[NewEvent], atomic: bool) -> list[str]:
        results, new = [], []
        for event in batch:
            key = ("id", event.event_id) if event.event_id else ("content", self._content(event))
            body = (event.time, self._content(event)[:3], event.value) if event.event_id else None
            same = [each for each in self.events + new if each["key"] == key]
            if event.time is not None and event.time > self.clock.now + 3600:
                results.append("time-in-future")
            elif self.is_erased(event.user_id):
                results.append("erased")
            elif same:
                results.append("duplicate" if same[0]["body"] == body else "conflict")
            else:
                results.append("accepted")
                time = self.clock.now if event.time is None else event.time
                kept = {"key": key, "body": body, "user": self.owner(event.user_id), "item": event.item_id}
                new.append(kept | {"time": float(time), "type": event.type})
        fine = ("accepted", "duplicate")
        if atomic and not set(results) <= set(fine):
            # What is wrong with the request itself is found before anything else is looked at.
            found_first = {"time-in-future"} if "time-in-future" in results else set(results) - set(fine)
            return ["undone" if result not in found_first else result for result in results]
        for event in new:
            self.create(event["user"])
        self.events += new
        return results

    def _content(self, event: NewEvent) -> tuple[Any, ...]:
        time = self.clock.now if event.time is None else event.time
        return event.user_id, event.item_id, event.type, time, event.value

    def merge(self, old: str, new: str) -> str | type[DatabaseError]:
        if self.is_erased(old) or self.is_erased(new):
            return ErasedError
        into = self.owner(new)
        if self.owner(old) == into:
            return into
        if old in self.into:
            return ConflictError
        self.create(into)
        if old in self.users:
            self.users[into] = self.users.pop(old) | self.users[into]
            self.created[into] = min(self.created[into], self.created.pop(old))
        self.into = {each: into if owner == old else owner for each, owner in self.into.items()} | {old: into}
        for event in self.events:
            event["user"] = into if event["user"] == old else event["user"]
        self.impressions = {name: into if user == old else user for name, user in self.impressions.items()}
        return into

    def erase(self, user: str) -> tuple[set[str], int, int]:
        owner = self.owner(user)
        names = {owner, *(each for each, into in self.into.items() if into == owner)}
        n_events = sum(event["user"] == owner for event in self.events)
        n_impressions = sum(each in names for each in self.impressions.values())
        self.events = [event for event in self.events if event["user"] != owner]
        self.impressions = {name: each for name, each in self.impressions.items() if each not in names}
        self.into = {old: into for old, into in self.into.items() if into != owner}
        self.users.pop(owner, None)
        self.created.pop(owner, None)
        self.erased |= dict.fromkeys(names, self.clock.now)
        return names, n_events, n_impressions


class DatabaseMachine(RuleBasedStateMachine):
    """The operations on one database, which every run empties first."""

    database: ClassVar[Database]
    clock: ClassVar[Clock]

    def __init__(self) -> None:
        super().__init__()
        self.clock.now = NOW
        tables = list(reversed(metadata.sorted_tables))
        empty = single(lambda connection: [connection.execute(delete(table)) for table in tables])
        self.database.writer.submit(empty).result()
        self.model = Model(self.clock)
        self.sent: list[NewEvent] = []

    @rule(seconds=st.sampled_from([1.0, 3600.0, 10 * DAY, 29 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(batch=st.lists(events, min_size=1, max_size=4), atomic=st.booleans())
    def send(self, batch: list[NewEvent], atomic: bool) -> None:
        self.sent += batch
        self._send(batch, atomic)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self._send(data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=3)), False)

    def _send(self, batch: list[NewEvent], atomic: bool) -> None:
        written = self.database.events.ingest(batch, atomic=atomic).result()
        kinds = {each.index: each.kind for each in written.rejected}
        found = [kinds.get(index, result) for index, result in enumerate(written.results)]
        assert found == self.model.ingest(batch, atomic)

    @rule(user=st.sampled_from(USERS), attributes=st.dictionaries(st.sampled_from("xy"), st.integers(0, 3)))
    def put_attributes(self, user: str, attributes: dict[str, int]) -> None:
        if self.model.is_erased(user):
            with pytest.raises(ErasedError):
                self.database.users.put(user, attributes).result()
            return
        owner = self.database.users.put(user, attributes).result()
        assert owner == self.model.owner(user)
        self.model.create(owner)
        self.model.users[owner] = attributes

    @rule(pair=st.permutations(USERS).map(lambda users: users[:2]))
    def merge(self, pair: list[str]) -> None:
        expected = self.model.merge(*pair)
        if isinstance(expected, str):
            assert self.database.users.merge(*pair).result().user_id == expected
        else:
            with pytest.raises(expected):
                self.database.users.merge(*pair).result()

    @rule(user=st.sampled_from(USERS))
    def erase(self, user: str) -> None:
        erased = self.database.users.erase(user).result()
        assert (set(erased.user_ids), erased.events, erased.impressions) == self.model.erase(user)

    @rule(user=st.sampled_from([None, *USERS]), name=st.sampled_from(["r1", "r2", "r3"]))
    def show(self, user: str | None, name: str) -> None:
        self.database.impressions.log(Impression(name, user, self.clock.now, "active", "s", [{"item_id": "A1"}], {}))
        self.database.writer.submit(single(lambda connection: None)).result()
        if user is None or not self.model.is_erased(user):
            self.model.impressions.setdefault(name, None if user is None else self.model.owner(user))

    @rule(days=st.integers(0, 40))
    def purge(self, days: int) -> None:
        before = self.clock.now - days * DAY
        kept = [event for event in self.model.events if event["time"] >= before]
        assert self.database.events.purge(before) == len(self.model.events) - len(kept)
        self.model.events = kept

    @rule()
    def purge_tombstones(self) -> None:
        self.database.users.purge_tombstones()

    @invariant()
    def histories_agree(self) -> None:
        found = self.database.users.histories(USERS)
        for user in USERS:
            rows = [(event["item"], event["type"], event["time"]) for event in self.model.history(user)]
            assert list(zip(found[user].item_ids, found[user].types, found[user].times, strict=True)) == rows

    @invariant()
    def users_agree(self) -> None:
        for user in USERS:
            found, owner = self.database.users.get(user), self.model.owner(user)
            if owner not in self.model.users:
                assert found is None
                continue
            assert (found.user_id, found.attributes) == (owner, self.model.users[owner])
            assert found.created == self.model.created[owner]
            assert set(found.merged) == {old for old, into in self.model.into.items() if into == owner}
            assert sum(found.events.values()) == len(self.model.history(user))
        page = self.database.events.page(USERS[0])
        newest_first = [event["item"] for event in reversed(self.model.history(USERS[0]))]
        assert [event.item_id for event in page.events] == newest_first

    @invariant()
    def impressions_agree(self) -> None:
        shown = {name: self.database.impressions.get(name) for name in ("r1", "r2", "r3")}
        assert {name: each.user_id for name, each in shown.items() if each} == self.model.impressions


def drive(url: str, examples: int) -> None:
    clock = Clock()
    usual = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    with open_database(url, clock=clock) as database:
        machine = type("Machine", (DatabaseMachine,), {"database": database, "clock": clock})
        run_state_machine_as_test(machine, settings=usual)


def test_a_database_is_what_its_model_is(database_url):
    drive(database_url, 8)


@pytest.mark.long
def test_a_database_is_what_its_model_is_for_long(database_url):
    drive(database_url, 40)

import threading

import pytest

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.impressions import Impression, ImpressionStore
from lexirec.serving.database.write_queue import single
from tests.serving.conftest import NOW


def shown(name, user, time=NOW, items=("A1", "A2")):
    ranked = [{"item_id": item, "rank": rank, "score": -rank / 2} for rank, item in enumerate(items, 1)]
    asked = {"k": 2, "allow": ["price<3"]}
    return Impression(name, user, time, "active", "model@3", ranked, asked, "home", "deadline", {"used_events": 4})


def flush(database):
    database.writer.submit(single(lambda connection: None)).result(10)


def test_an_impression_is_what_was_logged(database):
    for each in (shown("r1", "ann"), shown("r2", None)):
        assert database.impressions.log(each)
        assert database.impressions.log(each)  # a second time
    flush(database)
    assert database.impressions.get("r1") == shown("r1", "ann")
    assert database.impressions.get("r2").user_id is None
    assert database.impressions.get("r3") is None
    assert (database.impressions.count(), database.impressions.waiting, database.impressions.dropped) == (2, 0, 0)


def test_more_than_may_wait_are_dropped_and_counted(database):
    store = ImpressionStore(database.access, database.events, waiting=3)
    heard = []
    store.on_drop = lambda: heard.append(store.dropped)
    entered, let_go = threading.Event(), threading.Event()
    held = database.writer.submit(single(lambda connection: (entered.set(), let_go.wait(10))))
    assert entered.wait(10)
    assert [store.log(shown(f"r{n}", "ann")) for n in range(5)] == [True, True, True, False, False]
    assert (store.dropped, store.waiting) == (2, 3)
    let_go.set()
    held.result()
    flush(database)
    assert store.count() == 3
    assert store.log(shown("r9", "ann"))
    database.writer.close()
    assert not store.log(shown("r10", "ann"))
    assert store.dropped == 3
    assert heard == [1, 2, 3]


def test_events_that_came_of_an_impression(database):
    database.impressions.log(shown("r1", "ann", NOW))
    database.impressions.log(shown("r2", "ann", NOW + 100, items=["A2"]))
    database.impressions.log(shown("other", "bob", NOW))
    flush(database)
    events = [
        NewEvent("ann", "A9", "view", NOW + 1, recommendation_id="r1"),  # named, whatever the item
        NewEvent("ann", "A1", "view", NOW + 50),  # inferred
        NewEvent("ann", "A1", "buy", NOW + 150),  # inferred: shown again was only A2
        NewEvent("ann", "A2", "view", NOW + 99),  # inferred: before it was shown again
        NewEvent("ann", "A2", "view", NOW + 101),  # belongs to r2
        NewEvent("ann", "A3", "view", NOW + 50),  # was not shown
        NewEvent("ann", "A1", "view", NOW - 1),  # before
        NewEvent("ann", "A1", "view", NOW + 3599, recommendation_id="r2"),  # another's
        NewEvent("cat", "A1", "view", NOW + 2),  # another user's
    ]
    assert database.events.ingest(events).result().accepted == len(events)
    outcomes = database.impressions.outcomes("r1")
    assert [(each.event.item_id, each.event.time - NOW, each.inferred) for each in outcomes] == [
        ("A9", 1, False),
        ("A1", 50, True),
        ("A2", 99, True),
        ("A1", 150, True),
    ]
    assert [(each.event.time - NOW, each.inferred) for each in database.impressions.outcomes("r2")] == [
        (101, True),
        (3599, False),
    ]
    assert database.impressions.outcomes("nobody's") == []


def test_of_two_lists_of_one_moment_one_has_the_event(database):
    for name in ("r1", "r2"):
        database.impressions.log(shown(name, "ann", NOW))
    flush(database)
    database.events.ingest([NewEvent("ann", "A1", "view", NOW + 1)]).result()
    assert [len(database.impressions.outcomes(name)) for name in ("r1", "r2")] == [0, 1]


def test_after_a_day_nothing_is_inferred(database, clock):
    database.impressions.log(shown("r1", "ann", NOW))
    clock.now += 2 * 86_400
    late = [NewEvent("ann", "A1", time=NOW + 86_400), NewEvent("ann", "A1", time=NOW + 86_401)]
    database.events.ingest(late).result()
    assert [each.event.time for each in database.impressions.outcomes("r1")] == [NOW + 86_400]


def test_impressions_follow_a_merge(database):
    database.impressions.log(shown("r1", "session:1"))
    database.users.merge("session:1", "ann").result()
    database.impressions.log(shown("r2", "session:1"))
    database.events.ingest([NewEvent("ann", "A1", time=NOW + 5)]).result()
    assert [database.impressions.get(name).user_id for name in ("r1", "r2")] == ["ann", "ann"]
    assert len(database.impressions.outcomes("r2")) == 1


def test_old_impressions_are_purged(database):
    for number in range(50):
        database.impressions.log(shown(f"r{number}", "ann", NOW + number))
    flush(database)
    assert database.impressions.purge(NOW + 40) == 40
    assert [each.recommendation_id for each in database.impressions.between(NOW + 42, NOW + 44)] == ["r42", "r43"]
    assert database.impressions.count() == 10


@pytest.mark.parametrize("users", [["ann", "bob"]])
def test_a_bad_impression_drops_itself_alone(database, caplog, users):
    bad = Impression("bad", "ann", NOW, "active", "s", [{"item_id": {1}}], {})
    entered, let_go = threading.Event(), threading.Event()
    database.writer.submit(single(lambda connection: (entered.set(), let_go.wait(10))))
    assert entered.wait(10)
    for each in (shown("r1", "ann"), bad, shown("r2", "bob")):
        assert database.impressions.log(each)
    let_go.set()
    flush(database)
    assert (database.impressions.count(), database.impressions.dropped) == (2, 1)

import itertools

import pytest

from lexirec.serving.database.errors import BadCursorError, BadValueError
from lexirec.serving.database.event_rows import EventPolicy, NewEvent, Rejection
from lexirec.serving.database.ids import session_user
from tests.serving.conftest import NOW


def write(database, *events, **options):
    return database.events.ingest(events, **options).result(10)


def test_a_retry_by_id_is_one_event_however_late(database, clock):
    event = NewEvent("ann", "A1", event_id="e1")  # its time is that of arrival, which differs
    assert write(database, event).results == ("accepted",)
    clock.now += 86_400
    assert write(database, event, event).results == ("duplicate", "duplicate")
    assert database.events.count() == 1
    assert database.users.histories(["ann"])["ann"].times == (NOW,)


def test_a_retry_by_content_is_one_event(database):
    event = NewEvent("ann", "A1", "purchase", NOW - 5, 2.0)
    assert write(database, event, event).results == ("accepted", "duplicate")
    assert write(database, NewEvent("ann", "A1", "purchase", int(NOW) - 5, 2)).duplicates == 1
    others = [
        NewEvent("bob", "A1", "purchase", NOW - 5, 2.0),
        NewEvent("ann", "A2", "purchase", NOW - 5, 2.0),
        NewEvent("ann", "A1", "view", NOW - 5, 2.0),
        NewEvent("ann", "A1", "purchase", NOW - 4, 2.0),
        NewEvent("ann", "A1", "purchase", NOW - 5, 3.0),
        NewEvent("ann", "A1", "purchase", NOW - 5),
        NewEvent("ann", "A1", "purchase", NOW - 5, 2.0, event_id="with an id"),
    ]
    assert write(database, *others).accepted == len(others)


def test_an_event_without_id_and_time_is_always_new(database, clock):
    write(database, NewEvent("ann", "A1"))
    clock.now += 1
    assert write(database, NewEvent("ann", "A1")).accepted == 1


def test_an_id_with_another_body_is_a_conflict_for_that_row_alone(database):
    write(database, NewEvent("ann", "A1", time=NOW, event_id="e1"))
    for other in (
        NewEvent("ann", "A2", time=NOW, event_id="e1"),
        NewEvent("ann", "A1", time=NOW, event_id="e1", position=3),
        NewEvent("ann", "A1", event_id="e1"),
    ):
        written = write(database, NewEvent("bob", "A1", time=NOW), other, NewEvent("cat", "A1", time=NOW))
        assert written.results[1] == "rejected"
        assert written.rejected == (
            Rejection(1, "conflict", "event_id 'e1' is taken by another event; use a new id for a new event"),
        )
    assert database.events.count() == 3


def test_conflicts_inside_one_request_and_users_of_rejected_events_are_not_created(database):
    written = write(database, NewEvent("ann", "A1", event_id="e1"), NewEvent("bob", "A2", event_id="e1"))
    assert written.results == ("accepted", "rejected")
    assert database.users.get("bob") is None


def test_clocks_that_are_ahead_are_rejected(database):
    written = write(database, NewEvent("ann", "A1", time=NOW + 3600), NewEvent("ann", "A2", time=NOW + 3601))
    assert written.results == ("accepted", "rejected")
    assert written.rejected[0].kind == "time-in-future"
    assert "3,601 seconds ahead" in written.rejected[0].detail


def test_history_is_in_order_of_time_and_then_of_arrival(database):
    write(database, NewEvent("ann", "late", time=NOW), NewEvent("ann", "b", time=NOW - 10))
    write(database, NewEvent("ann", "a", time=NOW - 10), NewEvent("ann", "first", time=NOW - 99))
    assert database.users.histories(["ann"])["ann"].item_ids == ("first", "b", "a", "late")


def test_unknown_items_are_flagged_or_rejected(database):
    events = [NewEvent("ann", "A1", time=NOW), NewEvent("ann", "new", time=NOW), NewEvent("ann", "A1", time=NOW)]
    written = write(database, *events, known={"A1"})
    assert (written.results, written.unknown_items) == (("accepted", "accepted", "duplicate"), (1,))
    database.events.policy = EventPolicy(unknown_items="reject")
    written = write(database, NewEvent("bob", "new", time=NOW), NewEvent("bob", "A1", time=NOW), known={"A1"})
    assert written.results == ("rejected", "accepted")
    assert written.rejected[0].kind == "unknown-item"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (NewEvent("bob", "A1", time=NOW + 9999), "time-in-future"),
        (NewEvent("bob", "A2", event_id="taken"), "conflict"),
        (NewEvent("erased", "A1"), "erased"),
    ],
)
def test_atomic_requests_write_all_or_nothing(database, bad, kind):
    write(database, NewEvent("ann", "A1", event_id="taken"))
    database.users.erase("erased").result(10)
    good = [NewEvent("ann", "A3", time=NOW - 1), NewEvent("cat", "A3", time=NOW - 1)]
    written = write(database, *good, bad, atomic=True)
    assert written.results == ("undone", "undone", "rejected")
    assert [each.kind for each in written.rejected] == [kind]
    assert database.events.count() == 1
    assert database.users.get("cat") is None
    assert write(database, *good, NewEvent("ann", "A1", event_id="taken"), atomic=True).results == (
        "accepted",
        "accepted",
        "duplicate",
    )


def test_nothing_is_written_for_erased_users_until_the_tombstone_expires(database, clock):
    retry = NewEvent("ann", "A1", event_id="e1")
    write(database, retry)
    database.users.erase("ann").result(10)
    for days in (0, 29.9):
        clock.now = NOW + days * 86_400
        assert [each.kind for each in write(database, retry).rejected] == ["erased"]
    clock.now = NOW + 30.1 * 86_400
    assert write(database, retry).accepted == 1


def test_events_older_than_what_is_kept_are_rejected_and_purged(database, clock):
    many = [NewEvent("ann", f"A{n}", time=NOW - n) for n in range(4_500)]
    write(database, *many)
    assert database.events.purge(NOW - 99.5) == 4_400
    assert database.events.count() == 100
    database.events.policy = EventPolicy(keep_seconds=86_400.0)
    written = write(database, NewEvent("ann", "A1", time=NOW - 86_401), NewEvent("ann", "A1", time=NOW - 86_399))
    assert written.results == ("rejected", "accepted")
    assert written.rejected[0].kind == "too-old"


def test_pages_are_newest_first_and_stand_still_while_events_arrive(database):
    write(database, *[NewEvent("ann", f"A{n}", time=NOW - n // 3, event_id=f"e{n}") for n in range(25)])
    write(database, NewEvent("bob", "A1"))
    pages, cursor = [], None
    while True:
        page = database.events.page("ann", limit=10, cursor=cursor)
        pages.append([event.item_id for event in page.events])
        write(database, NewEvent("ann", f"new{len(pages)}", time=NOW + len(pages)))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [len(page) for page in pages] == [10, 10, 5]
    assert list(itertools.chain(*pages)) == [
        f"A{3 * group + place}" for group in range(9) for place in (2, 1, 0) if 3 * group + place < 25
    ]


def test_a_stored_event_is_what_was_sent(database):
    event = NewEvent("ann", "a/b?ü", "purchase", NOW - 0.125, 1.5, "e1", "r1", 3, {"size": [1, 2], "text": "ü\u2028\0"})
    write(database, event)
    (stored,) = database.events.page("ann").events
    assert {name: getattr(stored, name) for name in NewEvent.__dataclass_fields__} == event.__dict__
    assert stored.received == NOW


@pytest.mark.parametrize(
    "cursor", ["", "x", "ü", "bnVsbA", "W10", "WzEuMCwxLDFd", "WyJhIiwxXQ", "W05hTiwxXQ", "A" * 5000]
)
def test_cursors_of_nobodys_making_are_refused(database, cursor):
    with pytest.raises(BadCursorError, match="start again without a cursor"):
        database.events.page("ann", cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_sizes_of_pages_are_bounded(database, limit):
    with pytest.raises(BadValueError, match="allowed are 1 to 1,000"):
        database.events.page("ann", limit=limit)


def test_too_many_events_at_once_are_refused(sqlite):
    with pytest.raises(BadValueError, match="10,001 events in one call; allowed are 10,000"):
        sqlite.events.ingest([NewEvent("ann", "A1")] * 10_001)


def test_sessions_and_users_of_one_name_are_two(database):
    write(database, NewEvent("77", "A1"), NewEvent(session_user("77"), "A2"))
    found = database.users.histories(["77", session_user("77")])
    assert [each.item_ids for each in found.values()] == [("A1",), ("A2",)]

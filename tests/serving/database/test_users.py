import threading

import pytest
from sqlalchemy import event

from lexirec.serving.database.errors import BadValueError, ConflictError, ErasedError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.ids import session_user
from lexirec.serving.database.impressions import Impression
from lexirec.serving.database.opening import open_database
from tests.serving.conftest import NOW


def write(database, *events):
    return database.events.ingest(events).result(10)


def items_of(database, user_id):
    return database.users.histories([user_id])[user_id].item_ids


def test_histories_of_many_users_are_one_query(database):
    write(database, *[NewEvent(f"u{n % 7}", f"A{n}", time=NOW - n, type="view") for n in range(70)])
    statements = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    asked = [f"u{n}" for n in (3, 0, 99, 5, 3)]
    found = database.users.histories(asked)
    assert len([each for each in statements if "SELECT" in each]) == 1
    assert list(found) == ["u3", "u0", "u99", "u5"]
    assert found["u3"].item_ids == tuple(f"A{n}" for n in range(66, 0, -7))
    assert found["u3"].times == tuple(NOW - n for n in range(66, 0, -7))
    assert found["u3"].types == ("view",) * 10
    assert len(found["u99"]) == 0
    assert database.users.histories([]) == {}


@pytest.mark.parametrize("newest", [1, 3, 10, 100])
def test_of_long_histories_the_newest_come_whole_and_of_the_others_what_was_seen(database, newest):
    kinds = ("view", "purchase", "view")
    write(database, *[NewEvent("ann", f"A{n % 4}", kinds[n % 3], NOW - 10 + n) for n in range(10)])
    write(database, NewEvent("bob", "A9", time=NOW))
    every, capped = (database.users.histories(["ann", "bob"], newest=most) for most in (None, newest))
    whole = every["ann"]
    count = min(newest, 10)
    assert capped["ann"].item_ids == whole.item_ids[10 - count :]
    assert capped["ann"].times == whole.times[10 - count :]
    pairs = list(zip(whole.item_ids, whole.types, strict=True))[: 10 - count]
    assert sorted(capped["ann"].older) == sorted(set(pairs))
    assert capped["bob"] == every["bob"]


def test_ids_of_many_spellings_are_found(database):
    names = ["a'b", 'a"b', "a\\b", "ü", "😀", "a,b", "{a}", "a%b", "[1]", "a" * 256]
    write(database, *[NewEvent(name, name) for name in names])
    assert {name: each.item_ids for name, each in database.users.histories(names).items()} == {
        name: (name,) for name in names
    }


def test_a_user_has_attributes_and_counts(database, clock):
    assert database.users.get("ann") is None
    write(database, NewEvent("ann", "A1", "view", NOW - 5), NewEvent("ann", "A2", "view", NOW - 3))
    clock.now += 10
    assert database.users.put("ann", {"city": "Ulm", "age": 30}).result() == "ann"
    database.users.put("ann", {"city": "Köln"}).result()
    ann = database.users.get("ann")
    assert ann.attributes == {"city": "Köln"}
    assert (ann.created, ann.updated, ann.first_time, ann.last_time) == (NOW, NOW + 10, NOW - 5, NOW - 3)
    assert ann.events == {"view": 2}
    database.users.put("new", {}).result()
    write(database, NewEvent(session_user("1"), "A1"), NewEvent("sessions are no such user", "A1"))
    assert database.users.counts() == {"users": 3, "sessions": 1}


@pytest.mark.parametrize("attributes", [{"a": {1}}, {"a": float("nan")}, {"a": "x" * 70_000}])
def test_attributes_that_are_no_json_or_too_long_are_refused(sqlite, attributes):
    with pytest.raises(BadValueError, match="attributes"):
        sqlite.users.put("ann", attributes)


def test_a_sessions_events_become_the_users_and_so_do_later_ones(database):
    session = session_user("77")
    write(database, NewEvent(session, "A1", time=NOW - 2), NewEvent("ann", "A2", time=NOW - 1))
    database.users.put(session, {"city": "Ulm", "from": "advert"}).result()
    database.users.put("ann", {"city": "Köln"}).result()
    merged = database.users.merge(session, "ann").result()
    assert (merged.user_id, merged.events, merged.already) == ("ann", 1, False)
    assert database.users.merge(session, "ann").result().already
    write(database, NewEvent(session, "A3", time=NOW))
    assert items_of(database, "ann") == items_of(database, session) == ("A1", "A2", "A3")
    ann = database.users.get(session)
    assert (ann.user_id, ann.merged) == ("ann", (session,))
    assert ann.attributes == {"city": "Köln", "from": "advert"}
    assert [each.user_id for each in database.events.page(session).events] == ["ann"] * 3
    assert write(database, NewEvent(session, "A1", time=NOW - 2)).duplicates == 1


def test_chains_end_at_the_last_user_and_circles_are_one_user(database):
    write(database, *[NewEvent(name, f"of {name}", time=NOW) for name in "abc"])
    database.users.merge("a", "b").result()
    assert database.users.merge("b", "c").result().events == 2
    for pair in (("a", "c"), ("c", "a"), ("b", "a"), ("a", "b")):
        merged = database.users.merge(*pair).result()
        assert (merged.user_id, merged.already) == ("c", True)
    write(database, NewEvent("a", "later", time=NOW))
    assert items_of(database, "b") == ("of a", "of b", "of c", "later")
    assert database.users.get("c").merged == ("a", "b")


def test_an_id_that_belongs_to_somebody_is_not_given_to_another(database):
    write(database, NewEvent("session:1", "A1"), NewEvent("ann", "A2"), NewEvent("bob", "A3"))
    database.users.merge("session:1", "ann").result()
    with pytest.raises(ConflictError, match="'session:1' was merged into 'ann' before"):
        database.users.merge("session:1", "bob").result()
    assert items_of(database, "bob") == ("A3",)


def test_an_empty_id_may_be_merged_before_its_first_event(database):
    database.users.merge("session:1", "ann").result()
    write(database, NewEvent("session:1", "A1"))
    assert items_of(database, "ann") == ("A1",)
    with pytest.raises(BadValueError, match="into itself"):
        database.users.merge("ann", "ann")


def test_erasure_removes_everything_of_a_user_under_all_ids(database, clock):
    write(database, NewEvent("session:1", "A1", event_id="e1"), NewEvent("ann", "A2"), NewEvent("bob", "A3"))
    for number, user in enumerate(["session:1", "ann", "bob"]):
        shown = Impression(f"r{number}", user, NOW, "active", "s", [{"item_id": "A1"}], {"user_id": user})
        assert database.impressions.log(shown)
    database.users.merge("session:1", "ann").result()
    erased = database.users.erase("session:1").result()
    assert erased.user_ids == ("ann", "session:1")
    assert (erased.events, erased.impressions, erased.existed) == (2, 2, True)
    again = database.users.erase("ann").result()
    assert (again.events, again.impressions, again.existed) == (0, 0, False)
    assert database.users.get("ann") is None
    assert items_of(database, "ann") == items_of(database, "session:1") == ()
    assert database.impressions.count() == 1
    assert items_of(database, "bob") == ("A3",)
    for user in ("ann", "session:1"):
        assert [each.kind for each in write(database, NewEvent(user, "A9")).rejected] == ["erased"]
        with pytest.raises(ErasedError, match=f"user '{user}' was erased"):
            database.users.put(user, {}).result()
        with pytest.raises(ErasedError):
            database.users.merge("bob", user).result()
        with pytest.raises(ErasedError):
            database.users.merge(user, "bob").result()
    database.impressions.log(Impression("late", "ann", NOW, "active", "s", [], {}))
    database.users.put("bob", {}).result()
    assert database.impressions.get("late") is None
    assert database.users.purge_tombstones() == 0
    clock.now += 31 * 86_400
    assert database.users.purge_tombstones() == 2
    database.users.put("ann", {}).result()


def test_the_file_holds_nothing_of_an_erased_user(sqlite, tmp_path):
    write(sqlite, *[NewEvent("ann-of-ulm", f"secret-{n}", properties={"note": "very-private"}) for n in range(50)])
    sqlite.users.put("ann-of-ulm", {"street": "very-private"}).result()
    sqlite.users.erase("ann-of-ulm").result()
    sqlite.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"very-private" not in content
    assert b"ann-of-ulm" not in content


def test_the_longest_ids_fit_into_the_index(database):
    user, item, kind = "session:" + "😀" * 256, "😎" * 256, "🎈" * 64
    assert write(database, NewEvent(user, item, kind, event_id="🎁" * 256)).accepted == 1
    assert items_of(database, user) == (item,)


def test_no_event_is_left_behind_by_a_merge_in_another_process(database_url):
    one, two = open_database(database_url), open_database(database_url)
    for round_number in range(5):
        session, user = f"session:{round_number}", f"user-{round_number}"
        sent, merged = [], threading.Event()

        def send(session=session, sent=sent, merged=merged) -> None:
            after = 0
            while after < 5:
                after += merged.is_set()
                sent.append(NewEvent(session, "A1", event_id=f"{session}-{len(sent)}"))
                assert write(one, sent[-1]).accepted == 1

        client = threading.Thread(target=send)
        client.start()
        two.users.merge(session, user).result(30)
        merged.set()
        client.join()
        assert len(two.users.histories([user])[user]) == len(sent)
    one.close()
    two.close()


def test_events_sent_to_two_processes_at_once_are_taken_once(database_url):
    databases = [open_database(database_url) for _ in range(2)]
    events = [NewEvent(f"u{n % 5}", "A1", event_id=f"e{n}") for n in range(300)]
    results = []

    def send(database, order) -> None:
        for start in range(0, 300, 20):
            results.extend(write(database, *[events[n] for n in order[start : start + 20]]).results)

    orders = [list(range(300)), list(range(299, -1, -1))]
    threads = [threading.Thread(target=send, args=given) for given in zip(databases, orders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results.count("accepted"), results.count("duplicate")) == (300, 300)
    assert databases[0].events.count() == 300
    for database in databases:
        database.close()

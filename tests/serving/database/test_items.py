import threading

import pytest

from lexirec.serving.database.errors import BadCursorError, BadValueError, NotFoundError
from lexirec.serving.database.item_rows import ItemWrite
from lexirec.serving.database.opening import open_database
from tests.serving.conftest import NOW


def put(database, *items):
    return database.items.upsert(items).result(10)


def test_new_items_are_staged_and_wait_for_a_version(database):
    written = put(
        database, ItemWrite("A1", {"title": "Lamp", "price": 3}), ItemWrite("A2", {"title": "Desk"}, "live", False)
    )
    assert (written.created, written.updated, written.unchanged) == (("A1", "A2"), (), ())
    first, second = database.items.get(["A1", "A2", "A9"]).values()
    assert (first.state, first.pending, first.row) == ("staged", True, {"title": "Lamp", "price": 3})
    assert (second.state, second.pending, second.updated) == ("live", False, NOW)
    assert database.items.counts() == {"live": 1, "staged": 1, "hidden": 0, "removed": 0, "pending": 1}


def test_the_revision_counts_changes_and_only_those(database):
    assert database.items.revision() == 0
    put(database, ItemWrite("A1", {"price": 3}), ItemWrite("A2", {"price": 4}))
    assert database.items.revision() == 1
    written = put(database, ItemWrite("A1", {"price": 3}), ItemWrite("A2", {"price": 5}))
    assert (written.updated, written.unchanged, written.revision) == (("A2",), ("A1",), 2)
    assert put(database, ItemWrite("A1", {"price": 3})).revision == 2
    revision, changed = database.items.changed_since(1)
    assert (revision, [item.item_id for item in changed]) == (2, ["A2"])
    assert database.items.changed_since(2) == (2, [])


def test_the_revision_outlives_the_process_and_counts_each_process(database_url):
    one, two = open_database(database_url), open_database(database_url)

    def change(database, name):
        for number in range(20):
            put(database, ItemWrite(name, {"price": number}))

    threads = [threading.Thread(target=change, args=given) for given in ((one, "A1"), (two, "A2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.items.revision() == two.items.revision() == 40
    one.close()
    two.close()
    with open_database(database_url) as again:
        assert again.items.revision() == 40


def test_patches_of_two_processes_lose_nothing(database_url):
    databases = [open_database(database_url) for _ in range(2)]
    put(databases[0], ItemWrite("A1", {}))

    def change(database, name) -> None:
        for number in range(15):
            database.items.patch("A1", {f"{name}{number}": number}).result(30)

    threads = [threading.Thread(target=change, args=given) for given in zip(databases, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(databases[0].items.get(["A1"])["A1"].row) == 30
    for database in databases:
        database.close()


def test_a_patch_changes_some_columns(database):
    put(database, ItemWrite("A1", {"title": "Lamp", "price": 3, "stock": 1}, "live", False))
    patched = database.items.patch("A1", {"price": 2, "stock": None}).result()
    assert patched.row == {"title": "Lamp", "price": 2}
    assert (patched.state, patched.pending) == ("live", False)
    patched = database.items.patch("A1", {"title": "Floor lamp"}, state="hidden", pending=True).result()
    assert (patched.state, patched.pending, patched.revision) == ("hidden", True, 3)
    assert [item.item_id for item in database.items.page(search="FLOOR").items] == ["A1"]
    with pytest.raises(NotFoundError, match="there is no item 'A9'"):
        database.items.patch("A9", {}).result()


def test_an_upsert_is_all_or_nothing(database):
    with pytest.raises(BadValueError, match="item 'A2' is no JSON object"):
        database.items.upsert([ItemWrite("A1", {}), ItemWrite("A2", {"price": float("nan")})])
    with pytest.raises(BadValueError, match="given twice"):
        database.items.upsert([ItemWrite("A1", {}), ItemWrite("A1", {})])
    assert database.items.page().items == []


def test_states_change_together(database):
    put(database, *[ItemWrite(f"A{n}", {"n": n}, "live", False) for n in range(5)])
    written = database.items.set_state(["A1", "A3", "A9", "A1"], "removed", pending=True).result()
    assert (written.updated, written.created) == (("A1", "A3"), ())
    assert database.items.counts() == {"live": 3, "staged": 0, "hidden": 0, "removed": 2, "pending": 2}
    assert [item.item_id for item in database.items.page(state="removed").items] == ["A1", "A3"]
    assert [item.item_id for item in database.items.page(pending=False).items] == ["A0", "A2", "A4"]
    with pytest.raises(
        BadValueError, match=r"state is 'hiden'; allowed are live, staged, hidden, removed\. Did you mean 'hidden'"
    ):
        database.items.set_state(["A1"], "hiden")


def test_pages_are_in_the_order_of_bytes_in_both_databases(database):
    names = sorted(["a", "B", "ä", "Z", "10", "9", "_", "a b", "a-b", "😀", "ab", "A/1"])
    put(database, *[ItemWrite(name, {}) for name in names])
    pages, cursor = [], None
    while True:
        page = database.items.page(limit=5, cursor=cursor)
        pages.append([item.item_id for item in page.items])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [names[:5], names[5:10], names[10:]]
    assert [item.item_id for item in database.items.every()] == names
    with pytest.raises(BadCursorError):
        database.items.page(cursor="WzFd")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("lamp", ["A1", "A3"]),
        ("LAMP", ["A1", "A3"]),
        ("straße", ["A2"]),
        ("STRASSE", ["A2"]),
        ("100%", ["A3"]),
        ("%", ["A3"]),
        ("_", []),
        ("\\", ["A4"]),
        ("a2", ["A2"]),
        ("ÄRGER", ["A4"]),
        ("'; drop table items; --", []),
        ("\0", []),
        ("", ["A1", "A2", "A3", "A4"]),
    ],
)
def test_search_finds_parts_of_ids_and_titles(database, search, found):
    titles = ["Desk lamp", "Straßenkarte", "100% Lamp", "Ärger \\ 2"]
    put(database, *[ItemWrite(f"A{n}", {"title": title, "brand": "drop"}) for n, title in enumerate(titles, 1)])
    assert [item.item_id for item in database.items.page(search=search).items] == found


def test_titles_that_no_database_stores_as_they_are(database):
    row = {"title": "a\0b\ud800c", "n": 7}
    put(database, ItemWrite("A1", row), ItemWrite("A2", {"title": 7}))
    assert database.items.get(["A1"])["A1"].row == row
    assert [item.item_id for item in database.items.page(search="a\0B").items] == ["A1"]

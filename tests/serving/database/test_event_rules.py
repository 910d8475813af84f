from lexirec.serving.database.event_rules import EventRules, UserEvents

EVENTS = UserEvents(
    ("a", "b", "c", "a", "d"),
    ("view", "buy", "hide", "buy", "view"),
    (1.0, 2.0, 3.0, 4.0, 5.0),
    (("e", "view"), ("f", "hide")),
)


def test_by_default_everything_is_read_and_seen():
    rules = EventRules()
    assert EVENTS.history(rules).item_ids == ["a", "b", "c", "a", "d"]
    assert EVENTS.seen(rules) == {"a", "b", "c", "d", "e", "f"}
    assert EVENTS.never(rules) == set()


def test_types_that_forbid_are_neither_read_nor_seen_unless_named():
    rules = EventRules.of(never=["hide"])
    assert EVENTS.history(rules).item_ids == ["a", "b", "a", "d"]
    assert EVENTS.seen(rules) == {"a", "b", "d", "e"}
    assert EVENTS.never(rules) == {"c", "f"}
    assert "c" in EVENTS.seen(EventRules.of(seen=["hide"], never=["hide"]))


def test_what_is_read_and_what_is_seen_may_differ():
    rules = EventRules.of(read=["buy"], seen=["buy", "view"])
    assert EVENTS.history(rules) == (["b", "a"], [2.0, 4.0])
    assert EVENTS.seen(rules) == {"a", "b", "d", "e"}


def test_the_newest_of_what_is_read():
    rules = EventRules.of(read=["view"])
    assert EVENTS.history(rules, newest=1) == (["d"], [5.0])
    assert EVENTS.history(rules, newest=0) == ([], [])
    assert EVENTS.history(rules, newest=9).item_ids == ["a", "d"]

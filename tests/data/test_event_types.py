import pytest

from lexirec.core.errors import DataError
from lexirec.data.event_types import EventTypes
from lexirec.data.loading import DataSettings, event_options, read_data

ROWS = [
    ("ann", "A1", 1, "view"),
    ("ann", "A2", 2, "buy"),
    ("ann", "A3", 3, "hide"),
    ("bob", "A1", 4, ""),
    ("bob", "A2", 5, "it's"),
]


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"A{n},Title {n}\n" for n in (1, 2, 3)))
    lines = [f'{user},{item},{1_600_000_000 + time},"{kind}"' for user, item, time, kind in ROWS]
    (tmp_path / "events.csv").write_text("user_id,item_id,time,type\n" + "\n".join(lines) + "\n")
    return {"items": tmp_path / "items.csv", "interactions": tmp_path / "events.csv"}


def items_read(tables, **settings):
    _, interactions = read_data(DataSettings(**tables, **settings))
    return [number + 1 for number in interactions.sequences.items.tolist()], interactions.protocol


def test_by_default_every_row_is_read_and_nothing_is_said(tables):
    items, protocol = items_read(tables)
    assert items == [1, 2, 3, 1, 2]
    assert "event_types" not in protocol
    assert "events" not in DataSettings(**tables).model_dump(mode="json")


@pytest.mark.parametrize(
    ("types", "items"),
    [
        ({}, [1, 2, 3, 1, 2]),
        ({"read": ["buy", "view"]}, [1, 2]),
        ({"read": ["it's"]}, [2]),
        ({"never": ["hide"]}, [1, 2, 1, 2]),
        ({"never": ["hide", "it's"]}, [1, 2, 1]),
        ({"read": ["hide"], "never": ["hide"]}, [3]),
    ],
)
def test_only_types_that_are_read_are_events(tables, types, items):
    found, protocol = items_read(tables, events=types)
    assert found == items
    assert protocol["event_types"]["never"] == types.get("never", [])


def test_types_join_the_condition_on_rows(tables):
    settings = DataSettings(**tables, where="time > 1600000001 or time < 0", events={"read": ["view", "buy"]})
    assert event_options(settings).where == """(time > 1600000001 or time < 0) and "type" in ('view', 'buy')"""
    assert items_read(tables, where="time > 1600000001 or time < 0", events={"read": ["view", "buy"]})[0] == [2]


def test_the_column_may_have_another_name(tables):
    with pytest.raises(DataError, match="kind"):
        items_read(tables, events={"column": "kind", "read": ["buy"]})


def test_reading_nothing_is_refused():
    with pytest.raises(ValueError, match="read names no type"):
        EventTypes(read=())


def test_a_service_gives_types_the_same_meaning():
    from lexirec.serving.database.event_rules import EventRules

    for types in (
        EventTypes(),
        EventTypes(read=("buy",), never=("hide",)),
        EventTypes(never=("hide",)),
        EventTypes(seen=("buy", "hide"), never=("hide",)),
        EventTypes(read=("buy",), seen=()),
    ):
        rules = EventRules.of(types.read, types.seen, types.never)
        for kind in ("buy", "view", "hide"):
            is_read = kind in types.read if types.read is not None else kind not in types.never
            assert rules.is_read(kind) == types.is_read(kind) == is_read
            assert rules.is_seen(kind) == types.is_seen(kind)


@pytest.mark.parametrize(
    ("types", "apart"),
    [
        ({}, False),
        ({"never": ("hide",)}, False),
        ({"read": ("buy",)}, True),
        ({"seen": ("buy",)}, True),
        ({"read": ("buy", "view"), "seen": ("view", "buy")}, False),
        ({"read": ("buy", "view"), "seen": ("buy",)}, True),
    ],
)
def test_histories_alone_say_what_was_seen_where_both_are_the_same(types, apart):
    assert EventTypes(**types).seen_apart == apart

"""Items that lists leave out, against a user's rows looked through one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.data.excluded_items import with_excluded_items
from lexirec.data.loading import DataSettings, GlobalTemporal, LeaveLastOut, read_data, split_data
from lexirec.data.splits import Split

ITEMS = 6
START = 1_600_000_000


def write(folder, rows, *, times=True):
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"A{n},Title {n}\n" for n in range(ITEMS)))
    head, lines = ("user_id,item_id,time,type\n" if times else "user_id,item_id,type\n"), []
    for user, item, time, kind in rows:
        lines.append(f"{user},A{item},{START + time},{kind}" if times else f"{user},A{item},{kind}")
    (folder / "events.csv").write_text(head + "\n".join(lines) + "\n")
    return {"items": folder / "items.csv", "interactions": folder / "events.csv"}


def excluded(tables, **given):
    data = DataSettings(**tables, **given)
    catalog, interactions = read_data(data)
    split = with_excluded_items(data, interactions, catalog, split_data(data, interactions))
    return split, interactions, catalog


def lists(rows):
    return None if rows is None else [row.tolist() for row in (rows.row(i) for i in range(len(rows)))]


SHOP = [
    ("ann", 0, 1, "buy"),
    ("ann", 1, 2, "view"),
    ("ann", 2, 3, "buy"),
    ("ann", 3, 4, "hide"),
    ("ann", 4, 5, "buy"),
    ("ann", 5, 6, "view"),
    ("ann", 1, 6, "hide"),
]


def test_events_that_are_not_read_count_as_seen_or_forbid(tmp_path):
    split, _, _ = excluded(write(tmp_path, SHOP), events={"read": ["buy"], "never": ["hide"]})
    assert (split.test.targets.tolist(), split.validation.targets.tolist()) == ([4], [2])
    assert lists(split.test.seen) == [[0, 1, 2]]
    assert lists(split.test.never) == [[3]]
    assert lists(split.validation.seen) == [[0, 1]]
    assert lists(split.validation.never) == [[]]
    assert split.protocol["excluding_events"] == {"seen": 5, "never": 2}


def test_of_read_types_only_some_may_count_as_seen(tmp_path):
    split, _, _ = excluded(write(tmp_path, SHOP), events={"read": ["buy", "view"], "seen": ["view"]})
    assert split.test.targets.tolist() == [5]
    assert lists(split.test.seen) == [[1]]
    assert split.test.never is None
    split, _, _ = excluded(write(tmp_path, SHOP), events={"read": ["buy", "view"], "seen": []})
    assert lists(split.test.seen) == [[]]


@pytest.mark.parametrize("types", [None, {}, {"read": ["buy"], "seen": ["buy"]}, {"read": ["buy"], "evaluate": False}])
def test_where_histories_say_it_all_the_split_stays_as_it_is(tmp_path, types):
    data = DataSettings(**write(tmp_path, SHOP), events=types)
    catalog, interactions = read_data(data)
    split = split_data(data, interactions)
    assert with_excluded_items(data, interactions, catalog, split) is split


def test_what_happened_at_the_targets_moment_is_not_known_before(tmp_path):
    rows = [
        ("ann", 0, 1, "buy"),
        ("ann", 1, 2, "buy"),
        ("ann", 5, 3, "hide"),
        ("ann", 2, 3, "buy"),
        ("ann", 4, 3, "view"),
    ]
    split, _, _ = excluded(write(tmp_path, rows), events={"read": ["buy"], "never": ["hide"]})
    assert split.test.targets.tolist() == [2]
    assert lists(split.test.never) == [[]]
    assert lists(split.test.seen) == [[0, 1]]


def test_read_events_of_one_moment_keep_their_order(tmp_path):
    rows = [("ann", item, 7, "view" if item == 3 else "buy") for item in (0, 1, 2)]
    split, _, _ = excluded(write(tmp_path, rows), events={"read": ["buy"]})
    assert split.test.targets.tolist() == [2]
    assert lists(split.test.seen) == [[0, 1]]


def test_types_without_any_row_exclude_nothing(tmp_path):
    split, _, _ = excluded(write(tmp_path, SHOP), events={"read": ["buy"], "seen": ["own"], "never": ["spoilt"]})
    assert (lists(split.test.seen), lists(split.test.never)) == ([[]], [[]])


def test_without_times_nobody_knows_what_came_before(tmp_path):
    tables = write(tmp_path, SHOP, times=False)
    with pytest.raises(DataError, match="need a time of every event"):
        excluded(tables, events={"read": ["buy"], "never": ["hide"]})
    split, _, _ = excluded(tables, events={"read": ["buy"], "never": ["hide"], "evaluate": False})
    assert split.test.never is None


def test_items_that_a_core_lost_are_known_and_in_no_list(tmp_path):
    rows = [(user, item, 10 * item + number, "buy") for number, user in enumerate("abc") for item in (0, 2, 3)]
    rows += [("a", 1, 5, "buy"), ("a", 1, 6, "hide"), ("a", 0, 7, "hide"), ("z", 0, 8, "hide")]
    split, _, catalog = excluded(write(tmp_path, rows), events={"read": ["buy"], "never": ["hide"]}, k_core=3)
    assert catalog.item_ids == ["A0", "A2", "A3"]
    never = {int(user): row for user, row in zip(split.test.users, lists(split.test.never), strict=True)}
    assert never == {0: [0], 1: [], 2: []}


def test_conditions_of_the_file_hold_for_other_types_too(tmp_path):
    given = {"where": "time != 1600000004", "events": {"read": ["buy"], "never": ["hide"]}}
    split, _, _ = excluded(write(tmp_path, SHOP), **given)
    assert lists(split.test.never) == [[]]


def test_a_bad_row_of_another_type_is_told(tmp_path):
    tables = write(tmp_path, [*SHOP, ("ann", 77, 9, "hide")])
    with pytest.raises(DataError, match="A77"):
        excluded(tables, events={"read": ["buy"], "never": ["hide"]})
    split, _, _ = excluded(tables, events={"read": ["buy"], "never": ["hide"]}, on_bad_row="reject")
    assert lists(split.test.never) == [[3]]


TYPES = [
    {"read": ["buy"], "never": ["hide"]},
    {"read": ["buy", "view"], "seen": ["view"], "never": ["hide", "view"]},
    {"seen": ["buy", "hide"], "never": ["hide"]},
    {"read": ["view"], "seen": ["buy"]},
]


def many_rows(seed=0):
    """Sixty users with few items and moments, so that much happens twice or at once."""
    chance = random.Random(seed)
    kinds = ("buy", "view", "hide")
    users = [f"u{number}" for number in range(60) for _ in range(chance.randint(1, 12))]
    chance.shuffle(users)
    return [(user, chance.randrange(ITEMS), chance.randrange(7), chance.choice(kinds)) for user in users]


@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize("temporal", [False, True])
def test_every_case_excludes_what_the_user_did_before_its_target(tmp_path, types, temporal):
    rule = GlobalTemporal(cuts=(START + 3, START + 5)) if temporal else LeaveLastOut()
    rows = many_rows()
    split, _, _ = excluded(write(tmp_path, rows), events=types, split=rule)
    assert len(split.test) > 20
    known = {"read": types.get("read") or [kind for kind in ("buy", "view", "hide") if kind not in types["never"]]}
    known["seen"] = types.get("seen", [kind for kind in ("buy", "view", "hide") if kind not in types.get("never", [])])
    known["never"] = types.get("never", [])
    users = list(dict.fromkeys(user for user, _, _, kind in rows if kind in known["read"]))
    for cases in (split.validation, split.test):
        for place, (user, target) in enumerate(zip(cases.users, cases.targets, strict=True)):
            own = [row for row in rows if row[0] == users[user]]
            ordered = sorted((row for row in own if row[3] in known["read"]), key=lambda row: row[2])
            at = int(cases.histories.lengths[place])  # no history is cut
            assert ordered[at][1] == target
            before = {(row[1], row[2]) for row in ordered[:at]}
            for name in ("seen", "never"):
                found = getattr(cases, name)
                if found is None:
                    continue
                named = [row for row in own if row[3] in known[name]]
                all_read = {(row[1], row[2]) for row in ordered}
                wanted = {
                    item
                    for _, item, time, _ in named
                    if ((item, time) in before if (item, time) in all_read else time < ordered[at][2])
                }
                assert set(found.row(place).tolist()) == wanted, (name, ordered, at)


def test_a_split_keeps_them_on_disk_beside_what_learns(tmp_path):
    split, _, _ = excluded(write(tmp_path, SHOP), events={"read": ["buy"], "never": ["hide"]})
    split.save(tmp_path / "split")
    loaded = Split.load(tmp_path / "split")
    for part in ("validation", "test"):
        for kind in ("seen", "never"):
            assert getattr(getattr(loaded, part), kind) == getattr(getattr(split, part), kind)
    names = {path.name for path in (tmp_path / "split" / "test").iterdir()}
    assert names == {"items.npy", "offsets.npy", "users.npy", "targets.npy"}
    some = loaded.test.take(np.array([0, 0]))
    assert (lists(some.seen), lists(some.never)) == ([[0, 1, 2]] * 2, [[3]] * 2)

"""Rows of online evaluation against the outcomes of every answer one by one, on both databases."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest

from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.impressions import Impression
from lexirec.serving.database.online_rows import COLUMNS, DAY, Window, read_online_rows
from lexirec.serving.database.write_queue import single
from tests.serving.conftest import NOW

HOURS = 3600.0
NEW = ("A7", 'a "new": true item')


def flush(database):
    database.writer.submit(single(lambda connection: None)).result(10)


def shown(name, user, time=NOW, items=("A1", "A2"), variant="active", fallback=None):
    ranked = [{"item_id": item, "rank": rank, "score": -rank / 2} for rank, item in enumerate(items, 1)]
    for each in ranked:
        each |= {"new": True} if each["item_id"] in NEW else {}
    return Impression(name, user, time, variant, "model@3/0", ranked, {}, None, fallback)


def a_shop(database, clock, seed=0):
    """Ten users, three days, ids that JSON must quote, newcomers, two variants."""
    chance = random.Random(seed)
    clock.now = NOW + 4 * DAY
    items = [f"A{number}" for number in range(8)] + ['a "quoted" \\ one', "müßig/ß", NEW[1]]
    users = [f"u{number}" for number in range(8)] + ["session:1", None]
    lists = []
    for number in range(150):
        user = chance.choice(users)
        variant = "candidate" if user in ("u1", "u2", "session:1") else "active"
        at = NOW + round(chance.random() * 3 * DAY, 1) + number / 1000
        fallback = "deadline" if chance.random() < 0.2 else None
        lists.append(shown(f"r{number}", user, at, chance.sample(items, chance.randint(0, 5)), variant, fallback))
    for each in lists:
        assert database.impressions.log(each)
    flush(database)
    events = []
    for number in range(400):
        of = chance.choice(lists)
        user = of.user_id or "u3"
        named = of.recommendation_id if chance.random() < 0.3 else None
        at = of.time + chance.random() * 30 * HOURS
        kind = chance.choice(["click", "buy", "dislike"])
        events.append(NewEvent(user, chance.choice(items), kind, at, event_id=f"e{number}", recommendation_id=named))
    assert database.events.ingest(events).result().accepted == len(events)
    return lists


def expected(database, lists, k, clicks):
    """The sums by (user, variant, day), from the outcomes of every list."""
    sums = defaultdict(lambda: defaultdict(float))
    for each in lists:
        row = sums[each.user_id or each.recommendation_id, each.variant, int(each.time // DAY)]
        row["impressions"] += 1
        row["known"] += each.user_id is not None
        row["fallbacks"] += each.fallback is not None
        row["places"] += len(each.items[:k])
        row["new"] += sum(item["item_id"] in NEW for item in each.items[:k])
        ranks = {item["item_id"]: item["rank"] for item in each.items}
        outcomes = database.impressions.outcomes(each.recommendation_id)
        row["hits"] += len(outcomes)
        row["inferred"] += sum(outcome.inferred for outcome in outcomes)
        clicked = [ranks.get(one.event.item_id, 99) for one in outcomes if one.event.type in clicks]
        best = min(clicked, default=99)
        row["clicked"] += best <= k
        row["reciprocal"] += 1 / best if best <= k else 0
        for kind in {outcome.event.type for outcome in outcomes}:
            row[f"type:{kind}"] += 1
    return sums


@pytest.mark.parametrize(("k", "clicks"), [(5, None), (2, ("buy",))])
def test_the_sums_are_those_of_the_outcomes(database, clock, k, clicks):
    lists = a_shop(database, clock)
    rows = read_online_rows(database.access, Window(NOW, NOW + 4 * DAY, k, clicks, ("dislike",)))
    wanted = expected(database, lists, k, clicks or ("click", "buy"))
    names = [*COLUMNS, *(f"type:{kind}" for kind in rows.types)]
    assert set(rows.types) == {"click", "buy", "dislike"}
    of = sorted(
        (rows.variants[variant], day, tuple(np.round(sums.astype(float), 4).tolist()))
        for variant, day, sums in zip(rows.variant, rows.day, rows.sums, strict=True)
    )
    assert of == sorted(
        (variant, day, tuple(np.round([row[name] for name in names], 4).tolist()))
        for (_, variant, day), row in wanted.items()
    )
    assert rows.sums[:, COLUMNS.index("inferred")].sum() > 20
    assert len(np.unique(rows.user)) == len({user for user, _, _ in wanted})
    assert (np.diff(rows.user) >= 0).all()
    for variant in ("active", "candidate"):
        seen = [each for each in lists if each.variant == variant]
        days = {None: seen} | {day: [one for one in seen if one.time // DAY == day] for day in np.unique(rows.day)}
        for day, some in days.items():
            items = {item["item_id"] for one in some for item in one.items[:k]}
            assert rows.shown.get((variant, day), 0) == len(items)


def test_a_window_and_a_variant_choose_answers(database, clock):
    clock.now = NOW + 10 * HOURS
    for number, variant in enumerate(("active", "candidate", "active")):
        database.impressions.log(shown(f"r{number}", "ann", NOW + number * HOURS, variant=variant))
    flush(database)
    database.events.ingest([NewEvent("ann", "A1", "click", NOW + 2.5 * HOURS)]).result()
    rows = read_online_rows(database.access, Window(NOW + HOURS, NOW + 3 * HOURS, 10))
    assert rows.sums[:, 0].tolist() == [1, 1]
    active = read_online_rows(database.access, Window(NOW, NOW + HOURS, 10, variant="active"))
    assert active.sums[:, COLUMNS.index("impressions")].tolist() == [1]
    assert active.sums[:, COLUMNS.index("hits")].tolist() == [0]  # the event came of a later answer


def test_without_answers_there_are_no_rows(database):
    rows = read_online_rows(database.access, Window(NOW, NOW + HOURS, 10))
    assert (len(rows.user), rows.variants, rows.shown) == (0, (), {})


def test_types_beyond_the_most_frequent_are_hits_without_a_column(database, clock):
    clock.now = NOW + HOURS
    database.impressions.log(shown("r", "ann"))
    flush(database)
    events = [NewEvent("ann", "A1", f"kind{number:02d}", NOW + number) for number in range(30)]
    database.events.ingest([*events, NewEvent("ann", "A1", "kind29", NOW + 99)]).result()
    rows = read_online_rows(database.access, Window(NOW - 1, NOW + HOURS, 10))
    assert rows.types == ("kind29", *(f"kind{number:02d}" for number in range(19)))
    assert rows.sums[0, COLUMNS.index("hits")] == 31

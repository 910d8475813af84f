from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.sequences import Sequences
from lexirec.data.splits import (
    Cases,
    Split,
    global_temporal,
    leave_last_out,
    predefined_split,
    prefix_cases,
    unseen_cases,
)

LISTS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=6)


def interactions(lists, times=None, labels=None, n_items=10):
    rows = Sequences.from_lists(lists)
    users = np.array([f"u{i}" for i in range(len(lists))])
    moments = None if times is None else np.array(times, dtype=float)
    return Interactions(rows, users, moments, n_items, None if labels is None else np.array(labels, dtype=np.int8))


def triples(cases):
    return [
        (int(user), cases.histories.row(i).tolist(), int(target))
        for i, (user, target) in enumerate(zip(cases.users, cases.targets))
    ]


@given(LISTS, st.integers(1, 4))
def test_leave_last_out_is_the_textbook_rule(lists, cap):
    split = leave_last_out(interactions(lists), max_history=cap)
    long = [(user, row) for user, row in enumerate(lists) if len(row) >= 3]
    assert triples(split.test) == [(user, row[:-1][-cap:], row[-1]) for user, row in long]
    assert triples(split.validation) == [(user, row[:-2][-cap:], row[-2]) for user, row in long]
    train = [row[:-2] if len(row) >= 3 else row for row in lists]
    assert split.train == Sequences.from_lists(train)
    assert split.protocol["users_too_short"] == len(lists) - len(long)
    assert split.protocol["users_with_one_event"] == sum(len(row) == 1 for row in lists)


@given(LISTS, st.sampled_from([0.3, 0.5, 1.0]))
def test_what_is_held_back_stands_in_histories_alone(lists, share):
    plain, split = leave_last_out(interactions(lists)), leave_last_out(interactions(lists), hold_back=share)
    assert triples(split.test) == triples(plain.test)
    assert triples(split.validation) == triples(plain.validation)
    able = [user for user, row in enumerate(lists) if len(row) >= 4]
    lost = split.protocol["held_back_events"]
    assert lost == round(share * len(able))
    rows = {int(user): split.train.row(i).tolist() for i, user in enumerate(split.train_users)}
    whole = {int(user): plain.train.row(i).tolist() for i, user in enumerate(plain.train_users)}
    assert rows.keys() == whole.keys(), "everybody keeps an event to learn from"
    shorter = [user for user in rows if rows[user] != whole[user]]
    assert len(shorter) == lost
    assert all(user in able and rows[user] == whole[user][:-1] for user in shorter)
    fresh = unseen_cases(split)
    assert not unseen_cases(plain).any()
    ends = [user for user, is_fresh in zip(split.validation.users.tolist(), fresh) if is_fresh]
    assert set(ends) <= set(shorter)
    assert all(rows[user][-1] == whole[user][-1] for user in set(shorter) - set(ends)), "the same item twice in a row"


@given(LISTS, st.data())
def test_global_temporal_never_leaks(lists, data):
    events = interactions(lists)
    n = len(events.sequences.items)
    times = np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)), dtype=float)
    starts = events.sequences.offsets
    times = np.concatenate([np.sort(times[a:b]) for a, b in pairwise(starts)])
    cuts = (6.0, 12.0)
    split = global_temporal(interactions(lists, times), cuts=cuts, max_history=3)
    parts = Counter(np.digitize(times, cuts).tolist())
    first = np.digitize(times[starts[:-1]], cuts)
    assert len(split.train.items) == parts[0]
    assert len(split.validation) == parts[1] - (first == 1).sum()
    assert len(split.test) == parts[2] - (first == 2).sum()
    assert split.protocol["targets_without_history"] == int((first > 0).sum())
    for user, history, target in triples(split.test):
        row = lists[user]
        places = [i for i, item in enumerate(row) if item == target and row[max(0, i - 3) : i] == history]
        assert any(times[starts[user] + place] >= cuts[1] for place in places)


def test_global_temporal_by_share_keeps_ties_together():
    lists = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    split = global_temporal(
        interactions(lists, [1, 2, 3, 9, 1, 2, 7, 9, 1, 7]), validation=0.2, test=0.2, max_history=2
    )
    # Targets by time: 2 2 3 7 7 9 9. Shares of 0.2 are one target each; ties at 9 and 7 come along.
    assert triples(split.test) == [(0, [1, 2], 3), (1, [5, 6], 7)]
    assert (split.protocol["validation_from"], split.protocol["test_from"]) == (9.0, 9.0)
    assert len(split.validation) == 0


def test_global_temporal_histories_may_hold_validation_events():
    split = global_temporal(interactions([[0, 1, 2]], [1, 5, 9]), cuts=(5, 9))
    assert triples(split.validation) == [(0, [0], 1)]
    assert triples(split.test) == [(0, [0, 1], 2)]
    assert split.train == Sequences.from_lists([[0]])


def test_a_share_of_zero_leaves_a_part_empty():
    split = global_temporal(interactions([[0, 1, 2]], [1, 5, 9]), validation=0.5, test=0.0)
    assert len(split.test) == 0
    assert triples(split.validation) == [(0, [0, 1], 2)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda events: global_temporal(events), "needs times"),
        (lambda events: predefined_split(events), "needs a column with train, validation or test"),
        (lambda events: leave_last_out(events, max_history=0), "max_history is 0; it must be at least 1"),
    ],
)
def test_impossible_splits(call, message):
    with pytest.raises(DataError, match=message):
        call(interactions([[0, 1, 2]]))


def test_impossible_shares_and_cuts():
    events = interactions([[0, 1, 2]], [1, 2, 3])
    with pytest.raises(DataError, match=r"validation = 0.6 and test = 0.5 are no shares"):
        global_temporal(events, validation=0.6, test=0.5)
    with pytest.raises(DataError, match=r"must not decrease; they are 9 and 5"):
        global_temporal(events, cuts=(9, 5))
    with pytest.raises(DataError, match="every user has one"):
        global_temporal(interactions([[0]], [1]))


def test_published_follows_the_labels():
    split = predefined_split(interactions([[0, 1, 2], [3, 4]], labels=[0, 2, 1, 0, 0]))
    assert triples(split.test) == [(0, [0], 1)]
    assert triples(split.validation) == [(0, [0, 1], 2)]
    assert split.train == Sequences.from_lists([[0], [3, 4]])


def test_users_without_training_events_leave_no_empty_row():
    split = predefined_split(interactions([[0, 1], [3, 4]], labels=[2, 2, 0, 0]))
    assert split.train == Sequences.from_lists([[3, 4]])
    assert split.train_users.tolist() == [1]
    assert split.protocol["targets_without_history"] == 1


@given(LISTS, st.integers(1, 4))
def test_prefix_cases(lists, cap):
    cases = prefix_cases(Sequences.from_lists(lists), cap)
    expected = [(u, row[:j][-cap:], row[j]) for u, row in enumerate(lists) for j in range(1, len(row))]
    assert triples(cases) == expected


def test_save_and_load(tmp_path):
    split = leave_last_out(interactions([[0, 1, 2, 3], [4]]))
    split.save(tmp_path / "split")
    loaded = Split.load(tmp_path / "split")
    assert loaded.train == split.train
    assert triples(loaded.test) == triples(split.test)
    assert triples(loaded.validation.take(np.array([0]))) == triples(split.validation)
    assert loaded.train_users.tolist() == [0, 1]
    assert loaded.protocol == split.protocol == json.loads(json.dumps(split.protocol))
    with pytest.raises(ArtifactError, match="not a saved split"):
        Split.load(tmp_path)


def test_cases_must_fit():
    with pytest.raises(ValueError, match="1 users, 2 targets and 1 histories"):
        Cases(np.array([0]), np.array([1, 2], dtype=np.int32), Sequences.from_lists([[3]]))


def real(data_dir, name, **options):
    catalog = Catalog.read(data_dir / name / "items.parquet", text=["title", "categories"])
    return catalog, Interactions.read(data_dir / name / "interactions.parquet", catalog, **options)


@pytest.mark.data
@pytest.mark.parametrize(("name", "n_prefixes"), [("beauty", 131_413), ("office14", 38_543)])
def test_leave_last_out_equals_the_published_split(data_dir, name, n_prefixes):
    _, events = real(data_dir, name, columns={"split": "split_loo"})
    ours, theirs = leave_last_out(events), predefined_split(events)
    assert ours.train == theirs.train
    for mine, given_ in ((ours.validation, theirs.validation), (ours.test, theirs.test)):
        assert np.array_equal(mine.users, given_.users)
        assert np.array_equal(mine.targets, given_.targets)
        assert mine.histories == given_.histories
    assert len(prefix_cases(ours.train, 20)) == n_prefixes


@pytest.mark.data
@pytest.mark.parametrize("name", ["industrial18", "videogames18"])
def test_published_cases_equal_the_published_rows(data_dir, name):
    catalog, events = real(data_dir, name)
    split = predefined_split(events, max_history=10)
    for part, cases in (("valid", split.validation), ("test", split.test)):
        rows = pq.read_table(data_dir / name / f"rows_{part}.parquet")
        listed = rows.column("history_item_id").combine_chunks()
        offsets = np.concatenate([[0], np.cumsum(listed.value_lengths().to_numpy())])
        given_ = Sequences(catalog.find(listed.flatten()), offsets)
        histories = [given_.row(i).tolist() for i in range(len(given_))]
        targets = catalog.find(rows.column("item_id")).tolist()
        theirs = zip(rows.column("user_id").to_pylist(), histories, targets)
        mine = ((str(events.user_ids[user]), history, target) for user, history, target in triples(cases))
        assert sorted(mine) == sorted(theirs)


@pytest.mark.data
def test_videogames_training_prefixes_equal_the_published_rows(data_dir):
    catalog, events = real(data_dir, "videogames18")
    rows = pq.read_table(data_dir / "videogames18" / "rows_train.parquet")
    cases = prefix_cases(predefined_split(events, max_history=10).train, 10)
    assert len(cases) == rows.num_rows == 49_133
    theirs = Counter(catalog.find(rows.column("item_id")).tolist())
    assert Counter(cases.targets.tolist()) == theirs


def test_histories_end_with_an_event_that_was_learned_from_or_not():
    histories = Sequences.from_lists([[1, 2], [1, 2, 5], [4], [], [1, 9]])
    cases = Cases(np.array([0, 0, 7, 1, 1]), np.zeros(5, np.int32), histories)
    made = Split(Sequences.from_lists([[1, 2], [3]]), np.arange(2), cases, cases, 10, {})
    assert unseen_cases(made).tolist() == [False, True, True, False, True]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.item_categories import Categories
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.memorization import Transitions
from lexirec.evaluation.slices import (
    by_category,
    by_coldness,
    by_history,
    by_hops,
    by_memorisation,
    by_pattern,
    by_popularity,
    by_rarity,
    by_repeat,
    by_transition,
)


def named(slicing):
    return [slicing.names[group] if group >= 0 else None for group in slicing.groups]


def cases(*rows):
    """Make cases of (history, target)."""
    histories, targets = zip(*rows)
    return Cases(np.arange(len(rows)), np.array(targets, dtype=np.int32), Sequences.from_lists(histories))


def test_popularity_parts_carry_equal_shares_of_events():
    counts = np.array([40, 30, 20, 10, 5, 5, 5, 5, 0])
    assert named(by_popularity(np.arange(9), counts)) == [
        "head",
        "middle",
        "middle",
        "tail",
        "tail",
        "tail",
        "tail",
        "tail",
        "unseen",
    ]
    assert named(by_popularity(np.array([0, 8]), counts, 5)) == ["head", "unseen"]
    assert by_popularity(np.array([0]), counts, 4).names == (*(f"part {n} of 4" for n in range(1, 5)), "unseen")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.sampled_from([2, 3, 5]))
def test_more_popular_items_are_never_in_a_later_part_and_equal_ones_in_one(counts, parts):
    counts = np.array(counts)
    groups = by_popularity(np.arange(len(counts)), counts, parts).groups
    for count, group in zip(counts, groups):
        assert (groups[counts == count] == group).all()
        assert (groups[counts > count] <= group).all()
    assert (groups[counts == 0] == parts).all()
    if counts.any():
        assert groups[counts.argmax()] == 0


def test_items_that_only_begin_sequences_are_cold():
    train = Sequences.from_lists([[0, 1, 2], [], [3, 1], [2]])
    assert named(by_coldness(np.arange(5), train, 5)) == [
        "cold: first only",
        "warm",
        "warm",
        "cold: first only",
        "cold: unseen",
    ]


def test_history_lengths_fall_into_spans():
    found = by_history(np.array([1, 2, 3, 4, 5, 7, 8, 12, 13, 19, 20, 99]))
    assert named(found) == [name for name in ("1–2", "3–4", "5–7", "8–12", "13–19", "20+") for _ in range(2)]
    assert found.counts().tolist() == [2] * 6


def test_repeats_stand_in_their_history():
    assert named(by_repeat(cases(([1, 2], 2), ([1, 2], 3), ([4, 4, 4], 4)))) == ["repeat", "new", "repeat"]


def test_categories_by_their_number_of_cases():
    categories = Categories(("a", "b", "c"), np.array([0, 1, 2, 1, -1]), "kind")
    found = by_category(np.array([1, 3, 0, 2, 4, 1]), categories, most=2)
    assert named(found) == ["b", "b", "a", "other", "unknown", "b"]
    rare = by_category(np.repeat([0, 1], [500, 1]), categories)
    assert rare.names == ("a", "other", "unknown")


TRAIN = Sequences.from_lists([[0, 1, 2, 3], [5, 4], [6, 7]])


@pytest.mark.parametrize(
    ("history", "target", "pattern", "kind"),
    [
        ([9, 1], 2, "last", "memorisation"),
        ([1, 1, 9], 2, "earlier", "memorisation"),
        ([1, 0, 9], 2, "earlier", "memorisation"),
        ([9, 0], 2, "composed", "generalisation"),  # 0 → 1 → 2
        ([9, 3], 2, "composed", "generalisation"),  # 2 → 3 backward
        ([4, 9], 5, "composed", "generalisation"),
        ([9, 3], 5, "none", "generalisation"),  # 3 and 5 are neighbours of two rows, not of one
        ([0], 3, "none", "generalisation"),  # two items between
    ],
)
def test_memorisation_by_hand(history, target, pattern, kind):
    transitions = Transitions.of(TRAIN, 10)
    assert named(by_pattern(cases((history, target)), transitions)) == [pattern]
    assert named(by_memorisation(cases((history, target)), transitions)) == [kind]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=4),
    st.lists(st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 5)), min_size=1, max_size=5),
)
def test_patterns_refine_memorisation_and_steps_of_training_are_memorised(rows, asked):
    transitions = Transitions.of(Sequences.from_lists(rows), 6)
    found, kinds = by_pattern(cases(*asked), transitions), by_memorisation(cases(*asked), transitions)
    assert ((found.groups >= 2) == (kinds.groups == 1)).all()
    steps = [(row[: place + 1], row[place + 1]) for row in rows for place in range(len(row) - 1)]
    if steps:
        assert set(named(by_pattern(cases(*steps), transitions))) == {"last"}


def test_rare_items_form_a_group_of_their_own():
    counts = np.array([40, 30, 20, 4, 1, 0])
    slicing = by_popularity(np.arange(6), counts, rare=4)
    assert named(slicing) == ["head", "middle", "tail", "rare (≤ 4 events)", "rare (≤ 4 events)", "unseen"]


def test_transitions_are_divided_by_their_first_pattern_and_by_hops():
    hops = np.array([[-1, -1, -1, -1], [3, 0, 1, 0], [0, 2, 1, 1], [0, 0, 0, 4], [0, 0, 0, 0]], dtype=np.int8)
    expected = ["memorisation", "substitution", "symmetry", "second-order symmetry", "uncategorised"]
    assert named(by_transition(hops)) == expected
    assert named(by_hops(hops)) == ["memorisation", "1 hop", "1 hop", "4 hops", "uncategorised"]


def test_rare_targets_have_few_events():
    found = by_rarity(np.array([0, 1, 2, 3]), np.array([5, 4, 1, 0]))
    assert named(found) == ["frequent (> 4 events)", "rare (≤ 4 events)", "rare (≤ 4 events)", "unseen"]

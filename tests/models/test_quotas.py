import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.quotas import CompiledQuota, Usage, choose

ITEMS = 12


def catalog(**columns) -> Catalog:
    length = len(next(iter(columns.values())))
    ids = [f"i{number}" for number in range(length)]
    return Catalog(pa.table({"item_id": ids, "title": ids, **columns}), ("title",))


def groups_of(quota: CompiledQuota) -> list[list[int]]:
    return [quota.groups[a:b].tolist() for a, b in zip(quota.offsets[:-1], quota.offsets[1:], strict=True)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Acme", "ACME ", "Zed", "", None, "z\ted"], [[0], [0], [1], [], [], [3]]),
        ([["a", "b"], ["B", "b"], [], None, [None, "", "c"], ["a"]], [[0, 1], [1], [], [], [3], [0]]),
        ([3, 5, None, 3], [[0], [1], [], [0]]),
        ([0.5, float("nan"), 0.5, None], [[0], [], [0], []]),
        ([None, None], [[], []]),
        (pa.array([19000, None, 19000, 19001], pa.int32()).cast(pa.date32()), [[0], [], [0], [1]]),
    ],
)
def test_items_are_grouped_by_equal_values(values, expected):
    quota = CompiledQuota.of_field(catalog(brand=values), "brand", 2)
    assert groups_of(quota) == expected
    assert quota.n_groups >= max((group for each in expected for group in each), default=-1) + 1


def test_a_field_that_cannot_be_grouped_is_refused_in_one_line():
    with pytest.raises(DataError, match=r"at_most: items have no field 'brnd'; they have .*Did you mean 'brand'\?"):
        CompiledQuota.of_field(catalog(brand=["a"]), "brnd", 1)
    with pytest.raises(DataError, match="at_most 'made': the field holds values of type struct"):
        CompiledQuota.of_field(catalog(made=[{"x": 1}]), "made", 1)


@st.composite
def quotas(draw) -> CompiledQuota:
    lists = draw(st.lists(st.lists(st.integers(0, 3), unique=True, max_size=3), min_size=ITEMS, max_size=ITEMS))
    sizes = np.array([len(each) for each in lists])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    groups = np.array([group for each in lists for group in each], dtype=np.int32)
    return CompiledQuota("field", draw(st.integers(0, 4)), offsets, groups, 4)


@st.composite
def lists(draw) -> tuple[list[int], tuple[CompiledQuota, ...], list[int], int]:
    """A ranking, its quotas, what its list holds already, and the places that are left."""
    ranking = draw(st.permutations(range(ITEMS)))
    before = draw(st.integers(0, 3))
    return ranking[before:], tuple(draw(st.lists(quotas(), max_size=3))), ranking[:before], draw(st.integers(1, ITEMS))


@given(st.lists(lists(), min_size=1, max_size=4))
def test_the_choice_is_that_of_going_down_each_ranking(rows):
    rankings = np.full((len(rows), ITEMS), -1, dtype=np.int32)
    usages = []
    for row, (ranking, quotas_of_row, before, _) in enumerate(rows):
        rankings[row, : len(ranking)] = ranking
        usages.append(Usage(quotas_of_row))
        usages[-1].take(np.array(before, dtype=np.int32))
    chosen, looked = choose(rankings, usages, np.array([wanted for *_, wanted in rows]))
    for row, (ranking, quotas_of_row, before, wanted) in enumerate(rows):
        taken, seen = [], 0
        for item in ranking:
            if len(taken) == wanted:
                break
            seen += 1
            held = [*before, *taken]
            counts = [(quota, group) for quota in quotas_of_row for group in groups_of(quota)[item]]
            if all(sum(group in groups_of(quota)[each] for each in held) < quota.count for quota, group in counts):
                taken.append(item)
        assert rankings[row, chosen[row]].tolist() == taken
        assert looked[row] == (seen if len(taken) == wanted else ITEMS)


@given(st.lists(quotas(), min_size=1, max_size=3), st.lists(st.integers(0, ITEMS - 1), unique=True))
def test_full_groups_keep_their_items_out(some, items):
    usage = Usage(tuple(some))
    usage.take(np.array(items, dtype=np.int32))
    for item in range(ITEMS):
        full = any(
            sum(group in groups_of(quota)[each] for each in items) >= quota.count
            for quota in some
            for group in groups_of(quota)[item]
        )
        assert usage.full()[item] == full
    rest = usage.without_last()
    assert rest.quotas == tuple(some[:-1])
    assert rest.full() is None if len(some) == 1 else np.array_equal(rest.room, usage.room[: len(rest.room)])


def test_a_quota_of_a_mask_has_one_group():
    quota = CompiledQuota.of_mask("new", np.array([True, False, True]), 1)
    assert groups_of(quota) == [[0], [], [0]]
    usage = Usage((quota,))
    usage.take(np.array([2], dtype=np.int32))
    assert usage.full().tolist() == [True, False, True]

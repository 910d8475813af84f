import numpy as np
import pytest

from lexirec.core.errors import SettingsError
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.quantizers.collisions import CollisionCount, CollisionSettings, LastLevel, settle, spread

SHARED = np.array([[0, 1], [0, 1], [2, 2], [0, 1], [3, 0], [2, 2], [0, 0]])


def on_a_line(places, codes):
    return LastLevel(np.array(places, dtype=np.float32)[:, None], np.array(codes, dtype=np.float32)[:, None])


def rule(name, **more):
    return CollisionSettings(rule=name, **more)


def distinct(codes):
    return len(np.unique(codes.values, axis=0)) == len(codes)


def test_collisions_are_counted():
    count = CollisionCount.of(SHARED)
    assert (count.items, count.groups, count.largest, count.total) == (5, 2, 3, 7)
    assert count.rate == pytest.approx((7 - 4) / 7)
    assert "5 items in 2 groups of up to 3" in str(count)
    assert str(CollisionCount.of(SHARED[2:5])) == "none"


def test_a_further_level_counts_the_members_of_groups_only():
    settled = settle(SHARED)
    assert settled.codes.values[:, 2].tolist() == [0, 1, 0, 2, 0, 1, 0]
    assert (settled.codes.values[:, :2] == SHARED).all()
    assert settled.codes.kind == "residual"
    assert settled.collisions.numbered == 5
    assert settled.collisions.after.items == settled.collisions.moved == 0


def test_codes_that_differ_already_stay_as_they_are():
    for name in ("level", "none"):
        settled = settle(SHARED[2:5], rule(name))
        assert (settled.codes.values == SHARED[2:5]).all()
    kept = settle(SHARED, rule("none"))
    assert (kept.codes.values == SHARED).all()
    assert kept.collisions.after == kept.collisions.before
    assert kept.collisions.numbered == 0


def test_the_further_level_is_spelled_only_where_it_says_something():
    codes = settle(SHARED).codes
    full, cut = codes_as_tokens(codes), codes_as_tokens(codes, cut="shortest-unique")
    assert full.lengths.tolist() == [3] * 7
    assert full.spelled(5) == ["<a_2>", "<b_2>", "<c_1>"]
    assert cut.lengths.tolist() == [3, 3, 3, 3, 1, 3, 2]
    bare = codes_as_tokens(settle(SHARED, rule("none")).codes)
    assert bare.lengths.tolist() == [3, 3, 3, 3, 2, 3, 2]
    assert isinstance(bare, Identifiers)
    assert bare.spelled(1) == ["<a_0>", "<b_1>", "<c_1>"]


def test_all_but_the_nearest_move_to_the_nearest_free_code():
    # Codes at 0, 1, 2, 3, 10 on a line. Below prefix 0, code 1 (at 1) is wanted by three, code 2 (at 2) is taken.
    values = np.array([[0, 1], [0, 1], [0, 1], [0, 2], [7, 1]])
    last = on_a_line([1.3, 1.1, 0.8, 2.0, 1.0], [0, 1, 2, 3, 10])
    settled = settle(values, rule("nearest-free"), last)
    assert settled.codes.values.tolist() == [[0, 3], [0, 1], [0, 0], [0, 2], [7, 1]]
    assert settled.collisions.moved == 2
    assert settled.collisions.before.items == 3
    assert settled.collisions.numbered == 0


def test_of_two_that_want_one_free_code_the_nearer_gets_it():
    values = np.array([[0, 0], [0, 0], [0, 0]])
    settled = settle(values, rule("nearest-free"), on_a_line([0, 0.9, 0.6], [0, 1, 5]))
    assert settled.codes.values.tolist() == [[0, 0], [0, 1], [0, 2]]


def test_a_full_prefix_falls_back_to_a_further_level_and_says_so():
    values = np.array([[0, 0]] * 5 + [[1, 0]] * 2)
    settled = settle(values, rule("nearest-free"), on_a_line(range(7), [0, 1, 2]))
    assert distinct(settled.codes)
    assert len(np.unique(settled.codes.values[:5, :2], axis=0)) == 3
    assert settled.codes.values[5:].tolist() == [[1, 0, 0], [1, 2, 0]]
    assert settled.collisions.numbered == settled.collisions.repaired.items == 3
    assert settled.collisions.moved == 3
    assert "3 items" in settled.collisions.summary()["distinguished by an additional level"]


def test_a_single_level_has_one_prefix():
    settled = settle(np.zeros((3, 1), dtype=int), rule("nearest-free"), on_a_line([0, 1, 2], [0, 1, 2]))
    assert settled.codes.values.tolist() == [[0], [1], [2]]


def reference_spread(distances, entropy, iterations):
    """The loop as LC-Rec and MiniOneRec run it for one group."""
    middle = (distances.max() + distances.min()) / 2
    q = np.exp(-(distances - middle) / (distances.max() - middle + 1e-5) / entropy)
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * len(q)
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return q.argmax(axis=1)


def test_groups_are_spread_at_once_as_the_sources_do_one_by_one():
    rng = np.random.default_rng(0)
    distances, groups = rng.random((40, 8)).astype(np.float64), np.repeat([0, 1, 2, 3], [3, 17, 8, 12])
    for entropy in (0.003, 0.05):
        apart = [reference_spread(distances[groups == group], entropy, 50) for group in range(4)]
        assert spread(distances, groups, entropy, 50).tolist() == np.concatenate(apart).tolist()


def test_sinkhorn_tells_apart_what_it_can_and_leaves_twins_to_a_further_level():
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(60, 4)).astype(np.float32)
    residuals[1] = residuals[0]
    last = LastLevel(residuals, rng.normal(size=(16, 4)).astype(np.float32))
    values = np.stack([np.repeat(np.arange(12), 5), np.zeros(60, dtype=int)], axis=1)
    settled = settle(values, rule("sinkhorn"), last)
    assert distinct(settled.codes)
    assert settled.collisions.repaired.items < settled.collisions.before.items == 60
    assert (settled.codes.values[0, :2] == settled.codes.values[1, :2]).all()
    assert settled.codes.values[[0, 1], 2].tolist() == [0, 1]


def test_rules_that_move_items_need_vectors():
    with pytest.raises(SettingsError, match="'nearest-free' needs the items' vectors"):
        settle(SHARED, rule("nearest-free"))

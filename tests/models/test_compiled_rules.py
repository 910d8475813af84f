import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.compiled_rules import GivenRules, compile_rules
from lexirec.testing import tiny_catalog

PRICES = pa.array(["5", "12.5", "call us", None, "7"])
CATALOG = Catalog(tiny_catalog(5).table.append_column("price", PRICES), ("title",))


def compiled(**given):
    return compile_rules(CATALOG, GivenRules(**given))


def test_without_rules_everything_is_allowed():
    rules = compiled()
    assert rules.allowed is None
    assert rules.boosts is None
    assert rules.quotas == rules.remarks == rules.unknown_items == ()


@pytest.mark.parametrize(
    ("given", "legal"),
    [
        ({"allow": ["title~red"]}, [0, 2, 4]),
        ({"allow": ["title~red"], "deny": ["title~lamp"]}, [2, 4]),
        ({"allow_items": ["item-1", "item-3"]}, [1, 3]),
        ({"allow_items": []}, None),
        ({"deny_items": ["item-1", "item-3"]}, [0, 2, 4]),
        ({"candidates": []}, []),
        ({"candidates": ["item-4", "item-4"], "deny_items": ["item-0"]}, [4]),
        ({"allow_items": ["item-1"], "candidates": ["item-2"]}, []),
        ({"allow": ["title~red"], "allow_items": ["item-1", "item-2"]}, [2]),
        ({"allow": ["title~green"]}, []),
    ],
)
def test_filters_and_lists_hold_together(given, legal):
    allowed = compiled(**given).allowed
    assert (allowed if allowed is None else np.flatnonzero(allowed).tolist()) == legal


def test_ids_that_no_item_has_are_ignored_and_listed():
    rules = compiled(candidates=["item-1", "x", "y", "x"], deny_items=["x", "item-1"], allow_items=["z", "item-1"])
    assert not rules.allowed.any()
    assert rules.unknown_items == ("z", "x", "y")
    assert rules.remarks == (
        "allow_items: no item has this id, which is ignored: 'z'",
        "deny_items: no item has this id, which is ignored: 'x'",
        "candidates: no item has these 2 ids, which are ignored: 'x', 'y'",
    )
    (remark,) = compiled(candidates=[f"x{number}" for number in range(1000)]).remarks
    assert remark.startswith("candidates: no item has these 1,000 ids, which are ignored: 'x0', ")
    assert remark.endswith("'x9', …")


def test_boosts_of_several_filters_add_up():
    rules = compiled(boosts=["1.5:title~red", "-1:price=5"])
    np.testing.assert_allclose(rules.boosts, [0.5, 0, 1.5, 0, 1.5])
    assert rules.boosts.dtype == np.float32
    assert not rules.remarks


def test_a_boost_that_cannot_be_decided_for_some_items_is_remarked():
    rules = compiled(boosts={"price>6": 2})
    np.testing.assert_allclose(rules.boosts, [0, 2, 0, 0, 2])
    (remark,) = rules.remarks
    assert (
        remark
        == "boost 'price>6': 1 of 5 items have a 'price' that is no number, such as 'call us'; they are not boosted"
    )


def test_quotas_are_compiled():
    (quota,) = compiled(at_most=["price=2"]).quotas
    assert (quota.field, quota.count, len(quota.groups)) == ("price", 2, 4)


def test_a_share_without_newer_items_is_remarked():
    assert compiled(new_items=0.2).remarks == (
        "new_items: no item is known to be newer than the recommender, so no place is kept",
    )
    newer = np.ones(5, dtype=bool)
    rules = compile_rules(CATALOG, GivenRules(new_items=1), newer=newer)
    assert rules.newer is newer
    assert rules.new_items == 1.0
    assert not rules.remarks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"allow_items": "item-1"}, "allow_items is the text 'item-1'; pass a list of item ids"),
        ({"candidates": 5}, "candidates is of type int; pass a list of item ids"),
        ({"deny_items": [5]}, "deny_items: item ids are text, but 5 is of type int; pass '5'"),
        ({"candidates": ["\udcff"]}, "candidates: .* is no UTF-8 text"),
        ({"boosts": ["1:prce=5"]}, r"items have no field 'prce'.*Did you mean 'price'\?"),
        ({"boosts": ["1:price"]}, "filter 'price' cannot be parsed"),
        ({"at_most": ["prce=1"]}, r"items have no field 'prce'.*Did you mean 'price'\?"),
        ({"at_most": {"prce": 1}}, r"at_most: items have no field 'prce'.*Did you mean 'price'\?"),
        ({"new_items": 1.5}, "new_items is 1.5; it should be a share of the places, from 0 to 1"),
        ({"new_items": float("nan")}, "new_items is nan"),
        ({"new_items": True}, "new_items is True"),
        ({"new_items": "0.1"}, "new_items is '0.1'"),
    ],
)
def test_wrong_rules_are_refused_in_one_line(given, message):
    with pytest.raises(DataError, match=message) as caught:
        compiled(**given)
    assert "\n" not in str(caught.value)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match=r"there is no option 'alow'; .*Did you mean 'allow'\?"):
        GivenRules.of(alow=["title~red"])

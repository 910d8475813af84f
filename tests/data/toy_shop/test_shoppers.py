"""Shoppers of the toy shop buy as its tables say they do, and judge what came later by its title."""

from __future__ import annotations

import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.data.toy_shop.shoppers import DOUBT, Shopper, ToyShoppers

SIZES = {"seed": 3, "items": 168, "shoppers": 120}


@pytest.fixture(scope="module")
def shop():
    return ToyShoppers(**SIZES)


def test_the_shoppers_are_those_of_the_tables(shop):
    events = toy_shop(**SIZES).interactions
    assert sum(len(each.bought) for each in shop.shoppers) == events.num_rows
    bought = events.filter(np.array(events["user_id"].to_pylist()) == "shopper-00007")["item_id"].to_pylist()
    assert shop.shoppers[7].bought == bought


def test_what_was_bought_next_was_likelier_than_by_chance(shop):
    chances = []
    for each in shop.shoppers:
        before = Shopper(each.number, each.user_id, each.bought[:-1])
        chances.append(shop.next_purchase(before)[int(each.bought[-1].removeprefix("toy-"))] * SIZES["items"])
    assert np.median(chances) > 2.0
    others = Shopper(1, "", shop.shoppers[0].bought[:-1])
    own = Shopper(0, "", shop.shoppers[0].bought[:-1])
    assert not np.allclose(shop.next_purchase(own), shop.next_purchase(others)), "tastes differ"


def test_chances_add_up_and_what_was_bought_has_none(shop):
    found = shop.next_purchase(shop.shoppers[0])
    assert 0.9 < found.sum() < 1.0 + 1e-9
    assert shop.clicks(shop.shoppers[0], shop.shoppers[0].bought[:3], 0.7).tolist() == [0, 0, 0]


def test_places_are_looked_at_less_the_lower_they_are(shop):
    shopper = shop.shoppers[2]
    best = f"toy-{int(shop.next_purchase(shopper).argmax()):05d}"
    first, _, _, fourth = shop.clicks(shopper, [best, best, best, best], 0.5)
    assert fourth == pytest.approx(first / 2)
    chance = shop.next_purchase(shopper).max()
    assert first == pytest.approx(chance / (chance + DOUBT))


def test_a_new_item_is_worth_what_its_like_is_worth(shop):
    later = ToyShoppers(**SIZES)
    rows = {row["item_id"]: row for row in toy_shop(**SIZES).items.to_pylist()}
    shopper = later.shoppers[4]
    like = rows[f"toy-{int(later.next_purchase(shopper).argmax()):05d}"]
    later.meet("fresh", like["title"], like["brand"])
    assert (later.is_new("fresh"), later.is_new(like["item_id"])) == (True, False)
    assert later.kind("fresh") == later.kind(like["item_id"])
    old, new = later.clicks(shopper, [like["item_id"], "fresh"], 0.0)
    assert new > 0.2 * old
    with pytest.raises(DataError, match="no title or brand"):
        later.meet("nameless", None, None)


def test_what_shoppers_buy_alone_is_theirs_and_not_left_out(shop):
    rng = np.random.default_rng(0)
    shopper = shop.shoppers[3]
    left_out = [f"toy-{number:05d}" for number in range(100)]
    for _ in range(20):
        item = shop.buys_alone(shopper, left_out, rng)
        assert item not in left_out
        assert item not in shopper.bought

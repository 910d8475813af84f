"""The toy shop's own shoppers after the last event of its tables: what they would click and buy is known.

A shopper looks at place r of a list with probability r^−bias, place by place on its own, and clicks what is looked at
with a probability that follows from the shop's generator: with p, the chance that the item is the shopper's next
purchase, it is p / (p + `DOUBT`). So the probability of a click on a list is known exactly, whoever made the list.

Items that the shop got later are judged by their title and brand, which name all that shoppers care about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.toy_shop.generator import (
    ALREADY_OWNED,
    BAND,
    CIRCLE,
    CONTINUE,
    SAME_BRAND,
    describe,
    numbers_of_events,
    read_words,
    stock,
    tastes,
)
from lexirec.data.toy_shop.pictures import look_of
from lexirec.data.toy_shop.shop import toy_shop

DOUBT = 0.005
"""Chance of being the next purchase at which an item that is looked at is clicked half of the time."""
Floats = NDArray[np.float64]


@dataclass
class Shopper:
    """A shopper as of now.

    Attributes:
        number: Of the shopper in the shop.
        user_id: In the shop's tables.
        bought: Items, oldest first.
    """

    number: int
    user_id: str
    bought: list[str] = field(default_factory=list)


class ToyShoppers:
    """The shoppers of a generated shop, with the tastes that its tables were drawn from.

    Attributes:
        shoppers: All of them, with what they bought in the tables.
    """

    def __init__(self, *, seed: int = 0, items: int = 800, shoppers: int = 2000) -> None:
        """Draw the shop again; arguments and errors are those of `toy_shop`."""
        events = toy_shop(seed=seed, items=items, shoppers=shoppers).interactions
        rng = np.random.default_rng(seed)
        self._words = read_words()
        shelf = stock(self._words, items, rng)
        ids = np.array([f"toy-{number:05d}" for number in range(items)])
        describe(self._words, shelf, ids, rng)  # draws what the generator draws before the shoppers
        numbers_of_events(shoppers, rng)
        self._circle, self._band, self._wishes = tastes(self._words, shoppers, rng)
        self._numbers = {item_id: number for number, item_id in enumerate(ids.tolist())}
        self._ids = ids.tolist()
        self._known = items
        # rows of the items: product type, brand, circle, price band, log popularity
        self._traits = np.stack([shelf.kind, shelf.brand, shelf.circle, shelf.band, shelf.weight]).T.astype(np.float64)
        self.shoppers = [Shopper(number, f"shopper-{number:05d}") for number in range(shoppers)]
        for user_id, item_id in zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True):
            self.shoppers[int(user_id.rpartition("-")[2])].bought.append(item_id)

    def kind(self, item_id: str) -> int:
        """Return the number of an item's product type."""
        return int(self._traits[self._numbers[item_id], 0])

    def is_new(self, item_id: str) -> bool:
        """Say whether the shop got an item after its tables."""
        return self._numbers[item_id] >= self._known

    def meet(self, item_id: str, title: str | None, brand: str | None) -> None:
        """Let shoppers know an item; one that the shop had already is known.

        Raises:
            DataError: the item is not of the toy shop's kind, so nobody can say who would like it.
        """
        if item_id in self._numbers:
            return
        if title is None or brand is None:
            raise DataError(f"item '{item_id}' has no title or brand, and the toy shop does not know it")
        look = look_of(title, brand)
        of_brand = self._words.brands[look.brand]
        self._numbers[item_id] = len(self._ids)
        self._ids.append(item_id)
        row = np.array([look.kind, look.brand, of_brand["circle"], of_brand["band"], 0.0])
        self._traits = np.concatenate([self._traits, row[None]])

    def next_purchase(self, shopper: Shopper) -> Floats:
        """Return the chance of every item to be the shopper's next purchase, (items,); those bought have none."""
        kinds = self._traits[:, 0].astype(np.int64)
        bought = [self._numbers[item_id] for item_id in shopper.bought]
        last = bought[-1]
        here = kinds[last]
        penalty = np.zeros(len(self._words.types))
        penalty[np.unique(kinds[bought])] = ALREADY_OWNED
        penalty[here] = 0.0
        fresh = _shares(self._wishes[shopper.number] + penalty)
        with np.errstate(divide="ignore"):
            going_on = _shares(np.log(self._words.steps[here]) + penalty)
        found = CONTINUE * self._of_items(shopper, kinds, going_on, brand=float(self._traits[last, 1]))
        found += (1 - CONTINUE) * self._of_items(shopper, kinds, fresh, brand=None)
        found[bought] = 0.0
        return found

    def _of_items(self, shopper: Shopper, kinds: NDArray[np.int64], of_kinds: Floats, brand: float | None) -> Floats:
        """Spread the chances of product types over their items, as the shopper likes these."""
        appeal = self._traits[:, 4] + CIRCLE * (self._traits[:, 2] == self._circle[shopper.number])
        appeal += BAND * (self._traits[:, 3] == self._band[shopper.number])
        if brand is not None:
            appeal += SAME_BRAND * (self._traits[:, 1] == brand)
        weight = np.exp(appeal)
        weight[[self._numbers[item_id] for item_id in shopper.bought]] = 0.0
        totals = np.bincount(kinds, weight, len(of_kinds))
        shares: Floats = of_kinds[kinds] * weight / np.maximum(totals[kinds], 1e-300)
        return shares

    def clicks(self, shopper: Shopper, items: Sequence[str], bias: float) -> Floats:
        """Return the probability of a click on each place of a list, (places,)."""
        chance = self.next_purchase(shopper)[[self._numbers[item_id] for item_id in items]]
        looked = np.arange(1, len(items) + 1) ** -bias
        found: Floats = looked * chance / (chance + DOUBT)
        return found

    def buys_alone(self, shopper: Shopper, left_out: Sequence[str], rng: np.random.Generator) -> str | None:
        """Draw what a shopper buys without help, none of some items; None where nothing is left."""
        chance = self.next_purchase(shopper)
        chance[[self._numbers[item_id] for item_id in left_out]] = 0.0
        total = chance.sum()
        return self._ids[int(rng.choice(len(chance), p=chance / total))] if total > 0 else None


def _shares(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max())
    shares: Floats = weights / weights.sum()
    return shares

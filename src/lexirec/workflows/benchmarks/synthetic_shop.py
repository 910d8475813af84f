"""Synthetic shops of any size: item texts, a tree of categories, Zipf popularity, users with a few tastes.

The shapes follow real shops where growth matters: words follow Zipf's law, a category has words of its own, the number
of categories and of words grows more slowly than that of items, and a few items have most of the events. Users return
to their categories, and stray; histories thus predict the next item. Everything is drawn by arrays, so that a million
items take seconds.

Shapes: `I` items, `E` events, `U` users, `C` categories, `W` words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.errors import SettingsError

_ITEMS_A_CATEGORY = 100
_WORDS_A_CATEGORY = 40
_COMMON = 400
"""Words that all categories share."""
_TITLE, _DESCRIPTION = 5, 14
"""Words of a title and of a description."""
_OWN = 0.6
"""Share of an item's words that are its category's."""
_TASTES, _STRAY = 3, 0.15
"""Categories of a user, and share of events outside them."""
_SINCE, _SPAN = 1_704_067_200, 365 * 86_400
"""First moment of the events (2024-01-01), and the time in which users begin, in seconds."""
_SYLLABLES = ("ba", "ro", "ti", "len", "mu", "sar", "ko", "vi", "den", "pa", "lo", "gri", "ne", "tas", "fu", "wel")


@dataclass(frozen=True)
class ShopSize:
    """The size of a shop.

    Attributes:
        items: items of the catalogue, at least 100.
        users: users.
        events: events of a user on average, at least 3.
    """

    items: int
    users: int
    events: float = 8.0

    def __post_init__(self) -> None:
        """Raise a SettingsError where a number is too small."""
        if self.items < 100 or self.users < 10 or self.events < 3:
            raise SettingsError(
                f"a synthetic shop of {self.items} items, {self.users} users and {self.events:g} events a user is too "
                "small; it needs 100 items, 10 users and 3 events a user at least"
            )


def write_shop(folder: Path, size: ShopSize, seed: int = 0) -> None:
    """Write `items.parquet` and `interactions.parquet`; equal arguments give equal tables.

    Items have item_id, title, brand, categories (root first), price and description; events user_id, item_id and time
    (seconds since 1970), users one after another and each in order of time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, size.items])
    category_I = _categories(size.items, rng)
    pq.write_table(_items(category_I, rng), folder / "items.parquet")
    pq.write_table(_events(category_I, size, rng), folder / "interactions.parquet")


def _categories(items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the category of each item, of unequal sizes: int64 (I,)."""
    count = max(8, items // _ITEMS_A_CATEGORY)
    weights = rng.lognormal(0.0, 0.8, count)
    return rng.choice(count, size=items, p=weights / weights.sum()).astype(np.int64)


def _items(category_I: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    items, categories = len(category_I), int(category_I.max()) + 1
    vocabulary = int(2_000 + 40 * items**0.5)
    words = _spelled(vocabulary)
    # a category's words are spread over the vocabulary: neighbouring categories share some of them
    own_CW = _COMMON + rng.integers(0, vocabulary - _COMMON, (categories, _WORDS_A_CATEGORY))
    title = _sentences(words, category_I, own_CW, _TITLE, rng)
    description = _sentences(words, category_I, own_CW, _DESCRIPTION, rng)
    branches, brands = max(2, round(categories**0.5)), max(4, items // 200)
    made = rng.integers(0, 3, items) + 3 * category_I  # a category has few brands
    above = {"Hall": category_I // (4 * branches), "Aisle": category_I // 4, "Shelf": category_I}
    levels = [
        pc.binary_join_element_wise(name, pa.array(number).cast(pa.string()), " ") for name, number in above.items()
    ]
    place = np.arange(3 * items)  # the three names of an item side by side
    names = pa.concat_arrays([pa.array(each) for each in levels]).take(pa.array(place % 3 * items + place // 3))
    lists = pa.ListArray.from_arrays(pa.array(np.arange(items + 1, dtype=np.int32) * 3), names)
    return pa.table(
        {
            "item_id": _ids("item", items),
            "title": title,
            "brand": words.take(pa.array(_COMMON + made % brands % (vocabulary - _COMMON))),
            "categories": lists,
            "price": np.round(rng.lognormal(3.0, 1.0, items), 2),
            "description": description,
        }
    )


def _ids(kind: str, count: int) -> pa.Array:
    return pc.binary_join_element_wise(kind, pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 8, "0"), "-")


def _spelled(count: int) -> pa.Array:
    """Return distinct words, the numbers 0 … count − 1 written in syllables of base 16: three and a half on average."""
    numbers, syllables = np.arange(count) + 16**2, pa.array(_SYLLABLES)
    digits = [pa.array(numbers // 16**place % 16) for place in range(len(np.base_repr(int(numbers.max()), 16)))]
    return pc.binary_join_element_wise(*[syllables.take(digit) for digit in digits], "")


def _sentences(
    words: pa.Array, category_I: NDArray[np.int64], own_CW: NDArray[np.int64], length: int, rng: np.random.Generator
) -> pa.Array:
    """Draw `length` words for each item, of its category and of all shops, frequent ones first (Zipf)."""
    columns = []
    for _ in range(length):
        own = own_CW[category_I, _zipf(own_CW.shape[1], len(category_I), rng)]
        others = np.where(
            rng.random(len(category_I)) < 0.8,
            _zipf(_COMMON, len(category_I), rng),
            _zipf(len(words), len(category_I), rng),
        )
        columns.append(words.take(pa.array(np.where(rng.random(len(category_I)) < _OWN, own, others))))
    return pc.binary_join_element_wise(*columns, " ")


def _zipf(count: int | NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ranks below `count` with probability about 1 / (rank + 1): int64 (size,)."""
    return np.minimum(np.power(np.asarray(count) + 1.0, rng.random(size)).astype(np.int64), count) - 1


def _events(category_I: NDArray[np.int64], size: ShopSize, rng: np.random.Generator) -> pa.Table:
    lengths_U = 2 + rng.geometric(1 / max(size.events - 2, 1), size.users)
    lengths_U = np.minimum(lengths_U, int(size.events * 8))
    user_E = np.repeat(np.arange(size.users), lengths_U)
    counts_C = np.bincount(category_I)
    order_I = np.argsort(category_I, kind="stable")  # items of a category side by side, the popular first
    offsets_C = np.cumsum(counts_C) - counts_C
    favoured = np.flatnonzero(counts_C)[np.argsort(-counts_C[counts_C > 0], kind="stable")]
    tastes = favoured[_zipf(len(favoured), size.users * _TASTES, rng)].reshape(size.users, _TASTES)
    chosen_E = tastes[user_E, rng.integers(0, _TASTES, len(user_E))]
    item_E = order_I[offsets_C[chosen_E] + _zipf(counts_C[chosen_E], len(user_E), rng)]
    stray_E = rng.random(len(user_E)) < _STRAY
    item_E[stray_E] = rng.integers(0, len(category_I), int(stray_E.sum()))
    first_E = np.repeat(np.cumsum(lengths_U) - lengths_U, lengths_U)
    gaps_E = rng.exponential(5 * 86_400, len(user_E)).astype(np.int64) + 60
    passed_E = np.cumsum(gaps_E)
    begin_U = rng.integers(0, _SPAN, size.users)
    time_E = _SINCE + begin_U[user_E] + passed_E - passed_E[first_E]
    return pa.table(
        {
            "user_id": _ids("user", size.users).take(pa.array(user_E)),
            "item_id": _ids("item", len(category_I)).take(pa.array(item_E)),
            "time": time_E,
        }
    )

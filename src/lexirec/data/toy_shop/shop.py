"""Toy data sets: a generated, seeded shop for demonstrations, and a mini world with known right answers for tests.

Nothing in them is taken from real products or people: the words of the shop are in `words.toml`, its generator is
`toy_generator.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import SettingsError
from lexirec.data.toy_shop.generator import OPENING_DAY, describe, read_words, stock, variant_count, visits
from lexirec.data.toy_shop.pictures import FOLDER as PICTURES
from lexirec.data.toy_shop.pictures import draw_pictures


@dataclass(frozen=True)
class ToyShop:
    """A generated shop as two tables of the library's format.

    Attributes:
        items: item_id, title, brand, categories (list, root first), price and description (null where unknown).
        interactions: user_id, item_id, time (whole seconds since 1970), in order of time.
    """

    items: pa.Table
    interactions: pa.Table

    def write(self, folder: str | Path, *, pictures: bool = False) -> Path:
        """Write `items.parquet` and `interactions.parquet` into `folder` (created if needed) and return the folder.

        With `pictures`, a picture of every item is drawn into `folder/pictures`, and the items get the column
        `picture` with the files' names (`toy_pictures`); this needs Pillow and items of the generated shop.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        items = draw_pictures(self.items, folder / PICTURES) if pictures else self.items
        pq.write_table(items, folder / "items.parquet")
        pq.write_table(self.interactions, folder / "interactions.parquet")
        return folder


@dataclass(frozen=True)
class MiniWorld(ToyShop):
    """A tiny shop in which every purchase has exactly one right successor.

    Attributes:
        follows: item_id -> the item_id that every shopper buys next.
    """

    follows: dict[str, str]


def toy_shop(*, seed: int = 0, items: int = 800, shoppers: int = 2000) -> ToyShop:
    """Generate the toy shop; equal arguments give equal tables.

    Args:
        seed: seed of all random numbers.
        items: catalogue size, from one item per product type (84) to 120 (10,080).
        shoppers: number of shoppers, at least 1; each has 5 to 25 events and never buys the same item twice.

    Raises:
        SettingsError: a size outside its range.
    """
    words = read_words()
    fewest, most = len(words.types), len(words.types) * variant_count(words)
    if not fewest <= items <= most:
        raise SettingsError(
            f"toy_shop(items={items}): the toy shop holds {fewest} to {most} items; choose a size in this range."
        )
    if shoppers < 1:
        raise SettingsError(f"toy_shop(shoppers={shoppers}): at least 1 shopper is needed.")
    rng = np.random.default_rng(seed)
    shelf = stock(words, items, rng)
    ids = np.array([f"toy-{number:05d}" for number in range(items)])
    table = describe(words, shelf, ids, rng)
    return ToyShop(table, visits(words, shelf, shoppers, ids, rng))


# --------------------------------------------------------------------------------------------------------- mini world

_CYCLES = {
    "Bakery": ("flour", "yeast", "proofing bowl", "bread tin", "bread knife", "butter dish"),
    "Harbour": ("rope", "anchor", "oilskin coat", "tide table", "signal flag", "deck lantern"),
    "Library": ("bookmark", "reading stool", "atlas", "globe", "magnifying glass", "index cards"),
    "Orchard": ("sapling", "garden stake", "straw mulch", "apple basket", "cider press", "cork bottle"),
}


def mini_world(*, rounds: int = 4) -> MiniWorld:
    """Generate 24 items in four groups of six; every shopper buys the items of one group once, in a fixed cycle.

    At each item `rounds` shoppers start, so all items are equally popular, every cycle is covered from each phase, and
    the right next item is never one the shopper has. After leave-last-out each shopper keeps four events for training,
    and all 24 successions occur there equally often.

    Raises:
        SettingsError: `rounds` below 1.
    """
    if rounds < 1:
        raise SettingsError(f"mini_world(rounds={rounds}): at least 1 round is needed.")
    names = [(group, noun) for group, nouns in _CYCLES.items() for noun in nouns]
    ids = np.array([f"{group.lower()}-{noun.replace(' ', '-')}" for group, noun in names])
    start = np.tile(np.arange(len(names)), rounds)
    length = len(names) // len(_CYCLES)
    walked = start[:, None] // length * length + (start[:, None] + np.arange(length)) % length
    users = np.array([f"walker-{number:03d}" for number in range(len(start))])
    times = OPENING_DAY + np.arange(walked.size).reshape(walked.shape) * 3600
    following = np.arange(len(ids)) // length * length + (np.arange(len(ids)) + 1) % length
    items = pa.table(
        {
            "item_id": ids,
            "title": [f"{noun} from the {group.lower()}" for group, noun in names],
            "brand": [f"{group} Brothers" for group, _ in names],
            "categories": [[group, noun.split()[-1].title()] for group, noun in names],
            "price": np.arange(len(ids), dtype=np.float64) + 1.0,
            "description": [f"A good {noun}, as everyone in the {group.lower()} has one." for group, noun in names],
        }
    )
    events = pa.table({"user_id": np.repeat(users, length), "item_id": ids[walked.ravel()], "time": times.ravel()})
    return MiniWorld(items, events, dict(zip(ids.tolist(), ids[following].tolist(), strict=True)))

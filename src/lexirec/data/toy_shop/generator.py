"""Generator of the toy shop: items from the word file, and a random model of what shoppers buy.

What a shopper buys next depends on

- the *project* they are in: product types follow one another (`then` in the word file), so categories carry signal;
- the *text*: people also look at a second thing of the same kind, and stay with the brand they just bought;
- their *circle*: crowds of shoppers like certain brands together. No text says which; it shows only in the purchases;
- their *price band*, the popularity of types and items, and a little noise that covers every item.

Type and circle generalise over items: most item pairs are rare, but the rule behind them is frequent. So counting
transitions beats popularity clearly, and a model that reads the text can beat the counts.

Letters of the shapes: I items, T product types, S shoppers.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SHORTEST, LONGEST = 5, 25
"""Fewest and most events of one shopper."""

_FOLLOWS = (0.4, 0.33, 0.27)
"""Shares of a product type's likeliest, second and third follow-up in its next steps."""

_SECOND_LOOK = 0.2
"""Share of project steps that stay with the same product type."""

CONTINUE = 0.65
"""Chance that a project takes one more step."""

_NOISE = 0.08
"""Share of events that do not depend on the shopper; they cycle through the catalogue, so that every item occurs."""

CIRCLE, SAME_BRAND, BAND = 2.8, 0.5, 0.7
"""Log-odds for an item of the shopper's circle, of the brand just bought, of the shopper's price band."""

ALREADY_OWNED = -2.5
"""Log-odds of returning to a product type the shopper already has."""

_TYPE_SPREAD, _ITEM_SPREAD = 0.5, 0.6
"""Spread (standard deviation of the log weight) of the popularity of types and of items."""

OPENING_DAY = 1_704_067_200  # 2024-01-01T00:00:00Z
_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True)
class Words:
    """The word file as arrays of numbers: T types, D departments, R brands, 4 circles."""

    types: list[dict[str, Any]]
    brands: list[dict[str, Any]]
    colours: list[str]
    department: NDArray[np.int64]  # (T,)
    stocked: NDArray[np.int64]  # (T, 8) brands that make the type
    steps: NDArray[np.float64]  # (T, T) chance of the next type within a project, rows sum to 1


@dataclass(frozen=True)
class Shelf:
    """Attributes of the I generated items as numbers."""

    kind: NDArray[np.int64]  # (I,) product type
    brand: NDArray[np.int64]  # (I,)
    variant: NDArray[np.int64]  # (I,) 0..119: attribute, material and colour in one number
    circle: NDArray[np.int64]  # (I,)
    band: NDArray[np.int64]  # (I,)
    weight: NDArray[np.float64]  # (I,) log popularity
    members: NDArray[np.int64]  # (T, widest) items of a type, -1 padded


@cache
def read_words() -> Words:
    """Read the word file of the package."""
    raw = tomllib.loads(resources.files("lexirec.data.toy_shop").joinpath("words.toml").read_text(encoding="utf-8"))
    types, brands = raw["type"], raw["brand"]
    number = {kind["noun"]: i for i, kind in enumerate(types)}
    names = list(dict.fromkeys(kind["leaf"][0] for kind in types))
    department = np.array([names.index(kind["leaf"][0]) for kind in types])
    makers = [[r for r, brand in enumerate(brands) if name in brand["departments"]] for name in names]
    steps = np.eye(len(types)) * _SECOND_LOOK
    for i, kind in enumerate(types):
        steps[i, [number[noun] for noun in kind["then"]]] = np.array(_FOLLOWS) * (1 - _SECOND_LOOK)
    return Words(types, brands, raw["colours"], department, np.array(makers)[department], steps)


def variant_count(words: Words) -> int:
    """Count the combinations of attribute, material and colour that each product type comes in."""
    return len(words.types[0]["kinds"]) * len(words.types[0]["materials"]) * len(words.colours)


def stock(words: Words, items: int, rng: np.random.Generator) -> Shelf:
    """Draw the items: types evenly, brands in turn, variants without repetition (so titles are unique)."""
    n_types = len(words.types)
    every = np.arange(items // n_types * n_types) % n_types
    kind = rng.permutation(np.concatenate([every, rng.permutation(n_types)[: items % n_types]]))
    order = np.argsort(kind, kind="stable")
    rank = np.empty(items, dtype=np.int64)  # 0, 1, 2, … within its type
    rank[order] = np.arange(items) - np.searchsorted(kind[order], kind[order])
    makers = rng.permuted(words.stocked, axis=1)
    variants = rng.permuted(np.tile(np.arange(variant_count(words)), (n_types, 1)), axis=1)
    brand = makers[kind, rank % makers.shape[1]]
    members = np.full((n_types, int(rank.max()) + 1), -1)
    members[kind, rank] = np.arange(items)
    return Shelf(
        kind=kind,
        brand=brand,
        variant=variants[kind, rank],
        circle=np.array([each["circle"] for each in words.brands])[brand],
        band=np.array([each["band"] for each in words.brands])[brand],
        weight=rng.normal(0.0, _ITEM_SPREAD, items),
        members=members,
    )


# --------------------------------------------------------------------------------------------------------- catalogue


def describe(words: Words, shelf: Shelf, ids: NDArray[np.str_], rng: np.random.Generator) -> pa.Table:
    """Return the table of items: a title, a description in one of four styles; some prices and texts are missing."""
    n = len(ids)
    manner, remark = rng.integers(0, 4, n), rng.integers(0, 3, n)
    low, high = np.array([kind["price"] for kind in words.types], dtype=np.float64)[shelf.kind].T
    price = np.floor(low * (high / low) ** ((shelf.band + rng.random(n)) / 3)) + 0.95
    no_price, no_text = rng.random(n) < 0.03, rng.random(n) < 0.04
    texts = [_item_text(words, shelf, i, int(manner[i]), int(remark[i])) for i in range(n)]
    return pa.table(
        {
            "item_id": ids,
            "title": [title for title, _ in texts],
            "brand": [words.brands[brand]["name"] for brand in shelf.brand],
            "categories": [words.types[kind]["leaf"] for kind in shelf.kind],
            "price": pa.array(price, mask=no_price),
            "description": pa.array([text for _, text in texts], mask=no_text),
        }
    )


def _item_text(words: Words, shelf: Shelf, item: int, manner: int, remark: int) -> tuple[str, str]:
    kind, brand = words.types[shelf.kind[item]], words.brands[shelf.brand[item]]
    rest, colour = divmod(int(shelf.variant[item]), len(words.colours))
    adjective, material = kind["kinds"][rest // 3], kind["materials"][rest % 3]
    colour_name, noun, say, voice = words.colours[colour], kind["noun"], kind["says"][remark], brand["voice"]
    title = f"{brand['name']} {adjective} {noun}, {material}, {colour_name}"
    manners = (
        f"{_sentence(adjective)} {noun} in {colour_name}. {say} {voice}",
        f"{say} From our {kind['leaf'][1].lower()} shelf: {adjective} {noun}, {material}, {colour_name}. {voice}",
        f"{voice} This {noun}: {material}, {colour_name}, {adjective}. {say}",
        f"{say} {_sentence(material)}, in {colour_name}; see also our other {kind['leaf'][2].lower()}. {voice}",
    )
    return title, manners[manner]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------------------------------ interactions


def visits(words: Words, shelf: Shelf, shoppers: int, ids: NDArray[np.str_], rng: np.random.Generator) -> pa.Table:
    """Return the table of events: 5 to 25 of each shopper, all in order of time."""
    lengths = numbers_of_events(shoppers, rng)
    walked, fresh = _walk(words, shelf, lengths, rng)
    times = _clock(fresh, rng)
    kept = np.arange(LONGEST) < lengths[:, None]
    order = np.argsort(times[kept], kind="stable")
    users = np.array([f"shopper-{number:05d}" for number in range(shoppers)])
    who = np.repeat(np.arange(shoppers), lengths)[order]
    return pa.table({"user_id": users[who], "item_id": ids[walked[kept][order]], "time": times[kept][order]})


def numbers_of_events(shoppers: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many events each shopper has, (S,)."""
    return np.minimum(SHORTEST - 1 + rng.geometric(0.14, shoppers), LONGEST)


def tastes(
    words: Words, shoppers: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Draw what shoppers like: circle (S,), price band (S,), and log weights of the types projects start at (S, T)."""
    circle, band = rng.integers(0, 4, shoppers), rng.integers(0, 3, shoppers)
    return circle, band, _wishes(words, shoppers, rng)


def _walk(
    words: Words, shelf: Shelf, lengths: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw all shoppers' events, one step of all at a time: items (S, 25) and whether a project begins (S, 25)."""
    everyone = np.arange(len(lengths))
    circle, band, wishes = tastes(words, len(lengths), rng)
    stray = _stray_items(lengths, len(shelf.kind), rng)
    walked = np.full((len(lengths), LONGEST), -1)
    fresh = rng.random(walked.shape) > CONTINUE
    fresh[:, 0] = True
    owned = np.zeros((len(lengths), len(words.types)), dtype=bool)
    with np.errstate(divide="ignore"):
        steps = np.log(words.steps)
    item = np.zeros(len(lengths), dtype=np.int64)  # the last item of the project; the first event does not use it
    for step in range(LONGEST):
        new, here = fresh[:, step], shelf.kind[item]
        penalty = np.where(owned & (np.arange(len(words.types)) != here[:, None]), ALREADY_OWNED, 0.0)
        kind = _draw(np.where(new[:, None], wishes, steps[here]) + penalty, rng)
        offer = shelf.members[kind]
        appeal = shelf.weight[offer] + CIRCLE * (shelf.circle[offer] == circle[:, None])
        appeal += BAND * (shelf.band[offer] == band[:, None])
        appeal += SAME_BRAND * ((shelf.brand[offer] == shelf.brand[item][:, None]) & ~new[:, None])
        appeal[(offer < 0) | (offer[:, :, None] == walked[:, None, :step]).any(axis=2)] = -np.inf
        pick = offer[everyone, _draw(appeal, rng)]
        lost = ~np.isfinite(appeal).any(axis=1) | (stray[:, step] >= 0)
        pick[lost] = _unseen(stray[lost, step], walked[lost, :step], len(shelf.kind), rng)
        walked[:, step] = pick
        owned[everyone, shelf.kind[pick]] = True
        item = np.where(stray[:, step] >= 0, item, pick)  # a noise event does not change the project
    return walked, fresh


def _wishes(words: Words, shoppers: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the log weights (S, T) of the types a shopper's projects start at: few departments, some types popular."""
    taste = rng.dirichlet(np.full(words.department.max() + 1, 0.35), shoppers)
    popular = rng.normal(0.0, _TYPE_SPREAD, len(words.types))
    return np.log(taste[:, words.department] + 1e-3) + popular


def _stray_items(lengths: NDArray[np.int64], items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the items (S, 25) of the noise events, −1 elsewhere: shuffled passes over the catalogue cover it all."""
    stray = np.full((len(lengths), LONGEST), -1)
    places = (rng.random(stray.shape) < _NOISE) & (np.arange(LONGEST) < lengths[:, None])
    places[:, 0] = False  # the first event has to start a project
    count = int(places.sum())
    rounds = rng.permuted(np.tile(np.arange(items), (count // items + 1, 1)), axis=1)
    stray[places] = rounds.ravel()[:count]
    return stray


def _draw(log_weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one column per row with probability proportional to exp(log weight) (the Gumbel trick)."""
    return np.asarray(np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=1))


def _unseen(
    wanted: NDArray[np.int64], walked: NDArray[np.int64], items: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the wanted items, replaced by a random one where it is −1 or the shopper has it already."""
    pick = wanted.copy()
    while (again := (pick < 0) | (walked == pick[:, None]).any(axis=1)).any():
        pick[again] = rng.integers(0, items, int(again.sum()))
    return pick


def _clock(fresh: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw times (S, 25) in seconds: hours to days between the steps of a project, weeks between projects."""
    within = np.exp(rng.normal(np.log(9 * _HOUR), 1.3, fresh.shape))
    between = rng.exponential(24 * _DAY, fresh.shape) + _DAY
    gaps = np.where(fresh, between, within)
    gaps[:, 0] = rng.uniform(0, 300 * _DAY, len(fresh))
    return np.asarray(OPENING_DAY + np.cumsum(np.maximum(gaps, 60.0), axis=1), dtype=np.int64)

"""Shoppers of the toy shop walk a live service, so that what online evaluation finds has a known truth.

Every simulated day each shopper comes with a probability that rises with lists that were clicked and falls with others,
asks for a list, clicks and buys by `data.toy_shop.shoppers`, and now and then buys something that was not on the list.
The service's clock is simulated, too: requests say what time it is, and nothing waits. Each shopper has random numbers
of their own, so equal answers of the service give equal walks in whatever order they arrive.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from lexirec.client.clients import AsyncClient
from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.progress import Progress
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.data.toy_shop.shoppers import Shopper, ToyShoppers
from lexirec.pipeline.components import ToyShop
from lexirec.pipeline.experiment import Experiment
from lexirec.serving.schemas.recommend import Recommendation

DAY, HOUR = 86_400, 3_600
_BUYS, _BUYS_ALONE = 0.3, 0.4
"""Shares of clicks that are followed by a purchase, and of visits with a purchase that no list led to."""
_PLEASED, _BORED = 1.15, 0.95
_RARELY, _OFTEN = 0.03, 0.9
_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Walk:
    """How shoppers walk.

    Attributes:
        visits: Most visits in all.
        days: Simulated days.
        shoppers: Shoppers that take part: the first ones of the shop; None for all.
        daily: Probability with which a shopper comes on a day, at the beginning.
        k: Places of a list.
        bias: Shoppers look at place r with probability r^−bias.
        new_items: Share of places that requests ask for items newer than the model; None for none.
        connections: Visits at a time.
        seed: Of the shoppers' decisions.
    """

    visits: int = 3_000
    days: int = 28
    shoppers: int | None = None
    daily: float = 0.2
    k: int = 10
    bias: float = 0.7
    new_items: float | None = None
    connections: int = 16
    seed: int = 0


@dataclass
class _Week:
    """What happened in a week to the shoppers of a variant."""

    shoppers: set[int] = field(default_factory=set)
    visits: int = 0
    clicks: int = 0
    bought: int = 0
    new_items: int = 0
    kinds: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))


@dataclass
class _Truth:
    """Lists of a variant: how many, how many would be clicked on average, and how many were."""

    visits: int = 0
    expected: float = 0.0
    clicked: int = 0


def shoppers_of(store: Store, name: str) -> ToyShoppers:
    """Return the shoppers of the toy shop that an experiment is about.

    Raises:
        ArtifactError: there is no such experiment.
        SettingsError: it is about another shop, whose shoppers' tastes nobody knows.
    """
    run = find_run(store, name)
    data = validate_settings({**run.settings, "name": run.name}, Experiment, f"run {run.name}").data
    if not isinstance(data, ToyShop):
        raise SettingsError(
            f"simulate {name}: its data are of kind '{data.kind}'; only shoppers of 'toy-shop' have known tastes"
        )
    return ToyShoppers(seed=data.shop_seed, items=data.products, shoppers=data.shoppers)


def simulate(shop: ToyShoppers, url: str, walk: Walk, key: str | None = None) -> dict[str, Any]:
    """Let shoppers walk a service whose clock is simulated.

    Args:
        shop: whose shoppers they are.
        url: of the service.
        walk: how they walk.
        key: of the service.

    Returns:
        `weeks` (by week and variant: shoppers, returned, visits, clicks, bought, types, new_items), `truth` (by
        variant: visits, ctr as it is expected, clicked as it was), `visits`, `days`, `since` (seconds since 1970).

    Raises:
        ServiceError: the service cannot be reached or refuses a request.
        SettingsError: its clock is not simulated, or it has other items than the shop.
    """
    return asyncio.run(_Simulation(shop, walk).run(url, key))


class _Simulation:
    def __init__(self, shop: ToyShoppers, walk: Walk) -> None:
        self._shop, self._walk = shop, walk
        self._shoppers = shop.shoppers[: walk.shoppers]
        self._chance = [np.random.default_rng([walk.seed, each.number]) for each in self._shoppers]
        self._comes = np.full(len(self._shoppers), walk.daily)
        self._now = 0.0
        self._visits = 0
        self._weeks: dict[tuple[int, str], _Week] = defaultdict(_Week)
        self._truth: dict[str, _Truth] = defaultdict(_Truth)

    async def run(self, url: str, key: str | None) -> dict[str, Any]:
        async def tell_time(request: httpx.Request) -> None:
            if self._now:
                request.headers["x-simulated-time"] = repr(self._now)

        hooks = {"request": [tell_time]}
        limits = httpx.Limits(max_connections=self._walk.connections)
        async with AsyncClient(url, key, timeout=30.0, event_hooks=hooks, limits=limits) as client:
            since = await self._begin(client)
            with Progress("Simulating days", total=self._walk.days) as progress:
                for day in range(self._walk.days):
                    await self._day(client, day, since + day * DAY)
                    progress.advance()
                    if self._visits >= self._walk.visits:
                        break
        return {
            "weeks": self._told_weeks(),
            "truth": {name: _told_truth(each) for name, each in sorted(self._truth.items())},
            "visits": self._visits,
            "days": day + 1,
            "since": since,
        }

    async def _begin(self, client: AsyncClient) -> float:
        """Check the service; return the first moment of the simulated day after its clock."""
        settings = (await client.info()).settings
        if settings.get("storage", {}).get("clock") != "simulated":
            raise SettingsError(
                "simulate: the service's clock is the system's, and days would not pass; start it with "
                "--set storage.clock=simulated and a database of its own (storage.url)"
            )
        now = (await client.evaluation(days=1)).until
        return float(np.ceil(now / DAY) * DAY)

    async def _day(self, client: AsyncClient, day: int, midnight: float) -> None:
        coming = [n for n, chance in enumerate(self._chance) if chance.random() < self._comes[n]]
        room = asyncio.Semaphore(self._walk.connections)

        async def visit(number: int) -> None:
            async with room:
                await self._visit(client, number, day)

        for hour in range(24):
            group = [n for n in coming if n % 24 == hour][: max(0, self._walk.visits - self._visits)]
            if not group:
                continue
            self._now = midnight + hour * HOUR
            self._visits += len(group)
            async with asyncio.TaskGroup() as tasks:
                for number in group:
                    tasks.create_task(visit(number))

    async def _visit(self, client: AsyncClient, number: int, day: int) -> None:
        walk, shop, shopper = self._walk, self._shop, self._shoppers[number]
        chance = self._chance[number]
        asked = {"user_id": shopper.user_id, "k": walk.k, "return_fields": ["title", "brand"]}
        if walk.new_items is not None:
            asked["new_items"] = walk.new_items
        answer = await client.recommend(**asked, timeout_ms=_TIMEOUT_MS)
        for item in answer.items:
            fields = item.fields or {}
            shop.meet(item.item_id, fields.get("title"), fields.get("brand"))
        listed = [item.item_id for item in answer.items]
        clicks = shop.clicks(shopper, listed, walk.bias)
        clicked = np.flatnonzero(chance.random(len(listed)) < clicks).tolist()
        bought = [place for place in clicked if chance.random() < _BUYS]
        alone = shop.buys_alone(shopper, listed, chance) if chance.random() < _BUYS_ALONE else None
        truth = self._truth[answer.variant]
        truth.visits += 1
        truth.expected += 1.0 - float(np.prod(1.0 - clicks))
        truth.clicked += bool(clicked)
        self._note(self._weeks[day // 7, answer.variant], shopper, [listed[place] for place in bought], alone)
        self._weeks[day // 7, answer.variant].clicks += len(clicked)
        self._comes[number] = np.clip(self._comes[number] * (_PLEASED if clicked else _BORED), _RARELY, _OFTEN)
        events = self._events(shopper, answer, clicked, bought)
        if alone is not None:
            events.append({"user_id": shopper.user_id, "item_id": alone, "type": "purchase", "time": self._now + 900})
        if events:
            await client.send_events(events)

    def _events(
        self, shopper: Shopper, answer: Recommendation, clicked: list[int], bought: list[int]
    ) -> list[dict[str, Any]]:
        """Return the events of a list: a view after a minute a place, a purchase half a minute later."""
        return [
            {
                "user_id": shopper.user_id,
                "item_id": answer.items[place].item_id,
                "type": kind,
                "time": self._now + 20.0 * (place + 1) + after,
                "recommendation_id": answer.recommendation_id,
                "position": place + 1,
            }
            for kind, places, after in (("view", clicked, 0.0), ("purchase", bought, 10.0))
            for place in places
        ]

    def _note(self, week: _Week, shopper: Shopper, bought: list[str], alone: str | None) -> None:
        week.visits += 1
        week.shoppers.add(shopper.number)
        every = [*bought, *([alone] if alone is not None else [])]
        week.bought += len(every)
        week.new_items += sum(map(self._shop.is_new, every))
        week.kinds[shopper.number].update(map(self._shop.kind, every))
        shopper.bought += every

    def _told_weeks(self) -> list[dict[str, Any]]:
        rows, before = [], defaultdict[str, set[int]](set)
        for (number, variant), week in sorted(self._weeks.items()):
            kinds = [len(each) for each in week.kinds.values() if each]
            row = {
                "week": number + 1,
                "variant": variant,
                "shoppers": len(week.shoppers),
                "returned": len(week.shoppers & before[variant]),
                "visits": week.visits,
                "clicks": week.clicks,
                "bought": week.bought,
                "types": round(float(np.mean(kinds)), 2) if kinds else 0.0,
                "new_items": week.new_items,
            }
            before[variant] |= week.shoppers
            rows.append(row)
        return rows


def _told_truth(truth: _Truth) -> Mapping[str, float]:
    return {
        "visits": truth.visits,
        "ctr": truth.expected / truth.visits,
        "clicked": truth.clicked / truth.visits,
    }

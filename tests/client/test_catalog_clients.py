"""The catalogue's part of both clients, against a service in this process."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from lexirec.client import AsyncClient, Client, ServiceError
from lexirec.client.catalog_clients import AsyncCatalogClient, CatalogClient
from tests.serving.living_shop import living_service
from tests.serving.shop import ITEMS


@pytest.fixture
def served(tmp_path):
    with living_service(tmp_path) as (client, service, _):
        yield client, service


def test_a_shops_items(served):
    in_process, _ = served
    with Client("http://testserver") as shop:
        shop._http = in_process
        done = shop.write_items([{"item_id": "new", "title": "New"}, {"item_id": "i1", "price": 0.5}])
        assert (done.added, done.changed) == (1, 1)
        assert shop.item("new").state == "staged"
        assert shop.change_item("i1", price=0.75, hidden=True).state == "hidden"
        assert shop.put_item("i2", {"title": "Thing 2"}, hidden=False).fields == {"title": "Thing 2"}
        assert shop.remove_item("i3").changed == 1
        assert [item.item_id for item in shop.items_of(["i3", "nobody", "i1"]).items] == ["i3", "i1"]
        assert [item.item_id for item in shop.items(state="removed").items] == ["i3"]
        assert len(list(shop.all_items())) == ITEMS + 1
        assert shop.catalog().staged == 2
        assert shop.versions().items[0].active
        assert shop.difference(0, 0).added == ()
        assert shop.roll_back(0).version == 0
        assert shop.reload().changed == ()
        published = shop.publish(timeout=60).result
        assert (published["version"], published["counts"]["added"], published["counts"]["removed"]) == (1, 1, 1)
        assert "new" in [item.item_id for item in shop.recommend(k=ITEMS, min_catalog_version=1).items]
        with pytest.raises(ServiceError, match="the version was not made: nothing is staged"):
            shop.publish(timeout=60)
        with pytest.raises(ServiceError, match="holds a '/'"):
            shop.item("a/b")
        with pytest.raises(ServiceError, match="cannot be sent"):
            shop.change_item("i1", price=float("nan"))


def test_the_same_for_asyncio(served):
    _, service = served
    from lexirec.serving.http.app import create_app

    async def use() -> None:
        transport = httpx.ASGITransport(create_app(service))
        async with AsyncClient("http://shop", transport=transport) as shop:
            await shop.write_items([{"item_id": "new", "title": "New"}])
            assert (await shop.change_item("i1", price=0.75)).fields["price"] == 0.75
            assert len([item async for item in shop.all_items(state="live")]) == ITEMS
            job = await shop.start_publish()
            assert (await shop.job(job.job_id)).kind == "publish"
            with pytest.raises(ServiceError, match="there is no version 9"):
                await shop.roll_back(9)

    asyncio.run(use())


def test_both_clients_have_the_same_methods():
    names = {name for name in vars(CatalogClient) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncCatalogClient) if not name.startswith("_")}
    assert len(names) == 16

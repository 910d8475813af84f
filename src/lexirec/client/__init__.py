"""The client of the service: `Client` and `AsyncClient` over httpx, with the service's own models.

    from lexirec.client import Client

    with Client("http://127.0.0.1:8000") as shop:
        shop.send_events([{"user_id": "ann", "item_id": "A1", "type": "purchase"}])
        for item in shop.recommend(user_id="ann", k=5, allow=["price<20"]).items:
            print(item.item_id, item.score)

Requests are tried again after refusals and lost connections. That is safe: events without an id get one before the
first try, and everything else can be done twice.
"""

from lexirec.client.calls import ServiceError
from lexirec.client.clients import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "ServiceError"]

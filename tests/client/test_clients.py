from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator

import httpx
import pytest

from lexirec.client import AsyncClient, Client, ServiceError, calls
from tests.serving.live import LiveService, saved_shop, wait_ready
from tests.serving.model_shop import run


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("client")
    with LiveService(saved_shop(folder / "model"), folder) as service:
        yield service.url


def recorded(shop: Client, recommendation_id: str):
    """The list, once it is written: that is after its answer."""
    for _ in range(100):
        with contextlib.suppress(ServiceError):
            return shop.recommendation(recommendation_id, explain=True)
        time.sleep(0.05)
    raise AssertionError("the list was not written")


def test_a_shops_round(url):
    with Client(url) as shop:
        sent = shop.send_events(
            [{"user_id": "ann", "item_id": "i1"}, {"session_id": "s", "item_id": "i2", "type": "view"}]
        )
        assert (sent.accepted, sent.duplicates, sent.rejected) == (2, 0, ())
        answer = shop.recommend(user_id="ann", k=3, deny=["brand=Acme"], history=["i4"])
        assert len(answer.items) == 3
        assert answer.used_events == 2
        assert shop.merge("ann", "s").moved == 1
        assert [event.item_id for event in shop.all_user_events("ann")] == ["i2", "i1"]
        assert shop.set_user("ann", age=3).attributes == {"age": 3}
        assert shop.user("ann").events == 2
        assert {item.item_id for item in shop.rank(user_id="ann", candidates=["i7", "i8"]).items} == {"i7", "i8"}
        assert len(shop.similar(item_id="i1", k=4).items) == 4
        pair = shop.recommend_batch([{"k": 1}, {"k": 1, "allow": ["nothing=1"]}]).responses
        assert pair[0].items
        assert pair[1].status == 422
        shown = recorded(shop, answer.recommendation_id)
        assert [item.item_id for item in shown.items] == [item.item_id for item in answer.items]
        assert shown.explained
        assert shop.evaluation("active", days=1, k=3).variants[0].impressions >= 1
        assert shop.evaluation("candidate").variants == ()
        assert shop.info().model.items == 40
        assert shop.ready().status == "ok"
        assert shop.erase_user("ann").events == 2
        with pytest.raises(ServiceError, match="there is no user 'ann'") as refused:
            shop.user("ann")
        assert refused.value.status == 404


def test_the_same_for_asyncio(url):
    async def use() -> None:
        async with AsyncClient(url) as shop:
            await shop.send_events([{"user_id": "bob", "item_id": "i3"}])
            answers = await asyncio.gather(*(shop.recommend(user_id="bob", k=2) for _ in range(8)))
            assert len({tuple(item.item_id for item in answer.items) for answer in answers}) == 1
            assert [event.item_id async for event in shop.all_user_events("bob")] == ["i3"]
            with pytest.raises(ServiceError, match="no list 'nothing' is recorded"):
                await shop.recommendation("nothing")
            assert (await shop.evaluation(days=2)).since < time.time() - 86_400
            assert (await shop.ready()).status == "ok"

    asyncio.run(use())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k: Input should be greater"),
        ({"userid": "a"}, "userid: Extra inputs"),
        ({"allow": "a=1"}, "allow: "),
    ],
)
def test_wrong_arguments_do_not_reach_the_service(values, message):
    with Client("http://127.0.0.1:9") as shop, pytest.raises(ServiceError, match=message):
        shop.recommend(**values)


def answering(*responses: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    """A client whose service answers with these, one after the other."""
    waiting, seen = list(responses), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        response = waiting.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    return Client("http://shop", transport=httpx.MockTransport(answer)), seen


TAKEN = {"accepted": 1, "duplicates": 0, "rejected": []}


def test_a_repeated_request_sends_the_same_event_ids(monkeypatch):
    monkeypatch.setattr(calls, "pause", lambda attempt, response: 0.0)
    client, seen = answering(httpx.ReadError("gone"), httpx.Response(503), httpx.Response(200, json=TAKEN))
    assert client.send_events([{"user_id": "a", "item_id": "b"}]).accepted == 1
    ids = [json.loads(request.content)["events"][0]["event_id"] for request in seen]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_it_gives_up_after_its_tries(monkeypatch):
    monkeypatch.setattr(calls, "pause", lambda attempt, response: 0.0)
    client, seen = answering(*[httpx.ConnectError("refused")] * 5)
    with pytest.raises(ServiceError, match=r"http://shop: the service cannot be reached \(refused\)"):
        client.info()
    assert len(seen) == 5


def test_a_refusal_that_will_not_change_is_not_repeated():
    body = {"type": "/problems/invalid-filter", "title": "t", "status": 422, "detail": "no field"}
    client, seen = answering(httpx.Response(422, json=body))
    with pytest.raises(ServiceError, match="POST /v1/recommend: no field") as refused:
        client.recommend(k=1)
    assert refused.value.problem.type == "/problems/invalid-filter"
    assert len(seen) == 1


def test_what_is_no_answer_of_a_service_is_said():
    client, _ = answering(httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(ServiceError, match="the answer is not that of the service"):
        client.info()
    client, _ = answering(httpx.Response(404, text="<html>nothing here</html>"))
    with pytest.raises(ServiceError, match="status 404: <html>nothing here"):
        client.info()


def test_pauses_grow_and_heed_the_service():
    assert 0.5 <= calls.pause(0, httpx.Response(503, headers={"retry-after": "1"})) <= 1
    assert 0.4 <= calls.pause(3, None) <= 0.8
    assert calls.pause(20, None) <= 10


def test_ids_with_a_slash_do_not_go_into_paths():
    with Client("http://127.0.0.1:9") as shop, pytest.raises(ServiceError, match="'a/b' holds a '/'"):
        shop.user("a/b")


@pytest.mark.long
def test_models_are_loaded_swapped_and_taken_back(tmp_path):
    run(tmp_path, "b", window=3)
    run(tmp_path)
    with LiveService("shop", tmp_path) as service, Client(service.url, timeout=60) as shop:
        wait_ready(service.url)
        job = shop.load_model("b")
        while (found := shop.job(job.job_id)).state == "running":
            time.sleep(0.05)
        assert found.result is not None, found
        assert shop.activate_model(found.result["model"]).active
        assert [model.name for model in shop.models().items] == ["b", "shop"]
        assert shop.roll_back_model().name == "shop"
        with pytest.raises(ServiceError, match=r"leads out of models\.root"):
            shop.load_model("../b")

    async def use(url: str) -> None:
        async with AsyncClient(url) as shop:
            assert (await shop.activate_model("b")).active
            assert (await shop.models()).items[1].previous

    with LiveService("shop", tmp_path) as service:
        wait_ready(service.url)
        with Client(service.url) as shop:
            until = time.monotonic() + 60  # the model before is loaded beside requests
            while len(shop.models().items) < 2 and time.monotonic() < until:
                time.sleep(0.05)
        asyncio.run(use(service.url))

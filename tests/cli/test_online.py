"""`lexirec evaluate-online` says the same of a database as of the running service, and refuses what it cannot do."""

import json

import pytest

from lexirec.client import Client
from tests.serving.live import LiveService, run_shop, wait_ready


@pytest.mark.long
def test_the_database_and_the_service_say_the_same(tmp_path, lexirec):
    run_shop(tmp_path)
    with LiveService("shop", tmp_path) as service:
        wait_ready(service.url)
        with Client(service.url) as client:
            for user in range(6):
                found = client.recommend(session_id=f"s{user}", k=3)
                if user % 2:
                    item, came_from = found.items[user % 3].item_id, found.recommendation_id
                    event = {"session_id": f"s{user}", "item_id": item, "recommendation_id": came_from}
                    client.send_events([event])
        status, by_url, _ = lexirec("evaluate-online", "--url", service.url, "--json")
        assert status == 0
        status, by_name, _ = lexirec("evaluate-online", "shop", "--store", str(tmp_path / "store"), "--json")
        assert status == 0
    answers = [json.loads(each) for each in (by_url, by_name)]
    assert answers[0]["variants"] == answers[1]["variants"]
    (variant,) = answers[0]["variants"]
    assert (variant["impressions"], variant["hits"], variant["ctr"]["value"]) == (6, 3, 0.5)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([], "name the experiment that is served, or give --url"),
        (["shop", "--url", "http://127.0.0.1:1"], "name the experiment that is served, or give --url"),
        (["--url", "http://127.0.0.1:1"], "http://127.0.0.1:1: the service cannot be reached"),
        (["shop", "--variant", "b"], "--variant b: there are active, candidate and pinned"),
    ],
)
def test_what_it_cannot_do_is_one_line(given, line, lexirec):
    status, out, err = lexirec("evaluate-online", *given)
    assert (status, out) == (1, "")
    assert line in err
    assert err.count("\n") == 1

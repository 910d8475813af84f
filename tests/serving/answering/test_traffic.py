"""A second model: it answers a share of the users, always the same ones, or computes beside the active one."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path

import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.serving.answering.traffic import Split
from lexirec.serving.settings import TrafficSettings, read_settings
from tests.serving.model_shop import activated, answer_of, everything, listed, loaded, run, serving_store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traffic")
    run(folder, "b", window=3)
    run(folder)
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Store(tmp_path / "store")


def test_the_share_of_the_users_is_as_set_and_always_the_same():
    split = Split(TrafficSettings(candidate="b", share=0.2))
    taken = [user for user in range(10_000) if split.takes(f"u{user}")]
    assert 1_850 < len(taken) < 2_150
    again = Split(TrafficSettings(candidate="b", share=0.2))
    assert taken == [user for user in range(10_000) if again.takes(f"u{user}")]
    more = Split(TrafficSettings(candidate="b", share=0.3))
    assert all(more.takes(f"u{user}") for user in taken), "a larger share keeps its users"
    for other in ({"salt": "x"}, {"candidate": "c"}):
        others = Split(TrafficSettings.model_validate({"candidate": "b", "share": 0.2} | other))
        both = sum(others.takes(f"u{user}") for user in taken)
        assert 0.1 * len(taken) < both < 0.3 * len(taken), "another salt or candidate takes others"
    assert not Split(TrafficSettings(candidate="b", share=1.0)).takes(None)
    assert not any(Split(TrafficSettings(candidate="b", share=0.0)).takes(f"u{user}") for user in range(100))


def test_the_candidate_answers_its_users_and_answers_say_so(store):
    with serving_store(store, traffic={"candidate": "b", "share": 0.5}) as (client, service):
        variants = {}
        for user in range(40):
            owner = {"user_id": f"u{user}"} if user % 2 else {"session_id": f"s{user}"}
            answers = [answer_of(client, **owner, k=3) for _ in range(2)]
            assert len({answer["variant"] for answer in answers}) == 1
            assert answers[0]["model"]["name"] == ("b" if answers[0]["variant"] == "candidate" else "shop")
            variants[user] = answers[0]["variant"]
        assert 8 < list(variants.values()).count("candidate") < 32
        assert answer_of(client, history=["x"])["variant"] == "active", "nobody is nobody's"
        taken = next(user for user, variant in variants.items() if variant == "candidate" and user % 2)
        pinned = answer_of(client, user_id=f"u{taken}", model="shop")
        assert (pinned["model"]["name"], pinned["variant"]) == ("shop", "pinned")
        assert answer_of(client, user_id=f"u{taken}", catalog_version=0)["variant"] == "pinned"
        answer = answer_of(client, user_id=f"u{taken}")
        until = time.monotonic() + 10
        while (shown := service.database.impressions.get(answer["recommendation_id"])) is None:
            assert time.monotonic() < until
        assert getattr(shown, "impression", shown).variant == "candidate"
        assert re.search(
            r'lexirec_recommendations_total\{model="b",source="\w+",variant="candidate"\} [1-9]',
            client.get("/metrics").text,
        )
        # what is hidden is hidden for everybody, at once
        gone = listed(client, user_id=f"u{taken}", k=1)[0]
        client.patch(f"/v1/items/{gone}", json={"hidden": True})
        assert gone not in everything(client, user_id=f"u{taken}")
        assert client.patch(f"/v1/items/{gone}", json={"hidden": False}).status_code == 200
        # promoted, it answers everybody
        activated(client, "b")
        assert {answer_of(client, user_id=f"u{user}")["variant"] for user in range(1, 40, 2)} == {"active"}
        assert answer_of(client, user_id=f"u{taken}")["model"]["name"] == "b"


def test_the_candidate_is_the_newest_that_was_loaded_of_its_name(store):
    with serving_store(store, traffic={"candidate": "shop", "share": 1.0}) as (client, _):
        assert answer_of(client, user_id="ann")["variant"] == "active", "it is the active one itself"
        run(Path(store.root).parent, window=4)
        done = loaded(client, "shop")
        answer = answer_of(client, user_id="ann")
        assert answer["variant"] == "candidate"
        assert f"shop@{answer['model']['version']}" == done["model"]
        for window in (5, 6):  # others come and go, the candidate stays
            run(Path(store.root).parent, "b", window=window)
            loaded(client, "b")
        assert answer_of(client, user_id="ann")["model"]["version"] == answer["model"]["version"]
        roles = {each["reference"]: each["candidate"] for each in client.get("/v1/models").json()["items"]}
        assert roles[done["model"]]
        assert len(roles) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"candidate": "c"}, "traffic.candidate is 'c', which cannot be loaded: there is no finished experiment"),
        ({"candidate": "../b"}, "traffic.candidate is '../b', which cannot be loaded: '../b' leads out of models.root"),
    ],
)
def test_a_candidate_that_cannot_be_loaded_stops_the_start(store, values, message):
    with pytest.raises(SettingsError) as refused, serving_store(store, traffic=values):
        pass
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", ["traffic.share=1.5", "traffic.shadow=true", "traffic.candidat='b'"])
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(SettingsError):
        read_settings(None, [given], {})


def shadows(client) -> dict[str, float]:
    found = re.findall(r'lexirec_shadows_total\{result="(\w+)"\} (\S+)', client.get("/metrics").text)
    return {result: float(count) for result, count in found}


def test_a_shadow_is_computed_beside_the_answer_and_answers_nobody(store):
    with serving_store(store, traffic={"candidate": "b", "share": 1.0, "shadow": True}) as (client, service):
        ids = service.snapshots.active.catalog.item_ids
        assert answer_of(client, user_id="ann", history=ids[:3])["variant"] == "active"
        until = time.monotonic() + 20
        while shadows(client).get("done", 0) < 1:
            assert time.monotonic() < until, shadows(client)
            time.sleep(0.02)
        own = set(listed(client, user_id="ann", history=ids[:3], model="shop"))
        theirs = set(listed(client, user_id="ann", history=ids[:3], model="b"))
        text = client.get("/metrics").text
        assert float(re.search(r"lexirec_shadow_overlap_ratio_sum (\S+)", text)[1]) == pytest.approx(
            len(own & theirs) / 10
        )
        assert 'variant="candidate"' not in text
        before = sum(shadows(client).values())
        answer_of(client, history=ids[:3])  # nobody, and a pinned request: not compared
        answer_of(client, user_id="ann", model="b")
        time.sleep(0.2)
        assert sum(shadows(client).values()) == before


def test_a_shadow_is_dropped_while_the_engine_is_busy(store):
    with serving_store(store, traffic={"candidate": "b", "share": 1.0, "shadow": True}) as (client, service):
        ids = service.snapshots.active.catalog.item_ids

        def ask(user: int) -> None:
            for _ in range(5):
                answer_of(client, user_id=f"u{user}", history=ids[user : user + 4])

        threads = [threading.Thread(target=ask, args=(user,)) for user in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until = time.monotonic() + 20
        while sum(shadows(client).values()) < 60:
            assert time.monotonic() < until, shadows(client)
            time.sleep(0.02)
        assert shadows(client).get("dropped", 0) > 0
        assert "failed" not in shadows(client)

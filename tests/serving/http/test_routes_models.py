"""Models over HTTP: load, activate, go back; what leads out of the root is refused; nothing grows."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from pathlib import Path

import pytest

from lexirec.core.runs import evaluations, find_run
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.models.loading import load_recommender
from tests.serving.model_shop import activated, answer_of, everything, job_of, listed, loaded, run, serving_store
from tests.serving.shop import recommender


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run(folder)
    run(folder, "b", window=3)
    recommender().save(folder / "store" / "saved" / "tuesday")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / "store")


def names(client) -> dict[str, set[str]]:
    """The roles of every loaded model."""
    return {
        each["reference"]: {role for role in ("active", "previous", "candidate") if each[role]}
        for each in client.get("/v1/models").json()["items"]
    }


def test_a_loaded_model_answers_once_it_is_activated(store):
    with serving_store(store) as (client, _):
        first = answer_of(client, user_id="ann")["model"]
        done = loaded(client, "b")
        assert done["model"].startswith("b@")
        assert (done["was_loaded"], done["items"], done["active"], done["problem"]) == (False, 84, False, None)
        assert answer_of(client, user_id="ann")["model"] == first
        pinned = answer_of(client, user_id="ann", model="b")
        assert (pinned["model"]["name"], pinned["variant"]) == ("b", "pinned")
        old = f"{first['name']}@{first['version']}"
        assert names(client) == {old: {"active"}, done["model"]: set()}

        assert activated(client, "b")["active"]
        assert answer_of(client, user_id="ann")["model"]["name"] == "b"
        assert names(client) == {done["model"]: {"active"}, old: {"previous"}}
        assert list(names(client)) == [done["model"], old], "the active one comes first"
        assert answer_of(client, user_id="ann", model="shop", catalog_version=0)["model"] == first
        assert client.get("/v1/info").json()["model"]["name"] == "b"
        text = client.get("/metrics").text
        assert 'lexirec_swaps_total{kind="model",result="done"} 1.0' in text
        assert 'lexirec_model_info{name="b"' in text
        assert 'lexirec_model_info{name="shop"' not in text


def test_going_back_twice_is_where_one_was(store):
    with serving_store(store) as (client, _):
        refused = client.post("/v1/models/rollback")
        assert refused.status_code == 409
        assert "no model to go back to" in refused.json()["detail"]
        loaded(client, "b", activate=True)
        assert client.post("/v1/models/rollback").json()["name"] == "shop"
        assert answer_of(client)["model"]["name"] == "shop"
        assert client.post("/v1/models/rollback").json()["name"] == "b"
        assert activated(client, "b")["name"] == "b", "to activate the active one changes nothing"
        assert client.post("/v1/models/rollback").json()["name"] == "shop"


def test_models_tell_how_they_make_lists_and_what_their_runs_measured(store):
    with serving_store(store) as (client, _):
        shown = client.get("/v1/models").json()["items"][0]
    found = find_run(store, "shop")
    assert shown["finished"] == found.finished
    for seen in ("excluded", "included"):
        assert shown["metrics"][seen] == Report.load(evaluations(found)["memory"] / seen, lists=False).metrics
    assert shown["protocol"] == load_recommender(found.stages["baselines.memory"].folder).protocol


@pytest.mark.parametrize(
    "name", ["../elsewhere", "..", "/etc", "saved/../../elsewhere", "outside", "saved/outside/x", "linked", "a" * 256]
)
def test_names_do_not_lead_out_of_the_root(folder, store, name):
    recommender().save(folder / "elsewhere")
    (store.root / "outside").symlink_to(folder / "elsewhere")
    (store.root / "saved" / "outside").symlink_to(folder)
    (store.root / "linked").mkdir()
    (store.root / "linked" / "recommender.json").symlink_to(folder / "elsewhere" / "recommender.json")
    with serving_store(store) as (client, _):
        response = client.post("/v1/models", json={"name": name})
        assert response.status_code == 422
        body = response.json()
        assert str(folder) not in response.text
        assert body["type"] == "/problems/invalid-request"
        assert body["errors"][0]["pointer"] == "/name"
        assert "leads out of models.root" in body["detail"]
        assert len(client.get("/v1/models").json()["items"]) == 1


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("shopp", "Did you mean 'shop'?"),
        ("b:sasrec", "has no recommender"),
        ("b@0000", "version 0000"),
        ("saved", "no saved recommender 'saved'"),
    ],
)
def test_what_is_not_there_is_not_found(store, name, detail):
    with serving_store(store) as (client, _):
        response = client.post("/v1/models", json={"name": name})
        assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")
        assert detail in response.json()["detail"]
        assert str(store.root) not in response.text
        unknown = client.post("/v1/models/c/activate")
        assert unknown.status_code == 404
        assert "loaded are 'shop@" in unknown.json()["detail"]


def test_a_damaged_model_changes_nothing_and_no_path_is_told(store):
    stage = find_run(store, "b").stages["baselines.memory"]
    next(
        stage.folder.rglob("*.npz"), next(stage.folder.rglob("*.safetensors"), stage.folder / "recommender.json")
    ).write_bytes(b"x")
    with serving_store(store) as (client, _):
        job = job_of(client, client.post("/v1/models", json={"name": "b", "activate": True}))
        assert job["state"] == "failed"
        assert job["problem"]
        assert str(store.root) not in str(job)
        assert [each["name"] for each in client.get("/v1/models").json()["items"]] == ["shop"]
        assert 'lexirec_swaps_total{kind="model",result="failed"} 1.0' in client.get("/metrics").text


def test_a_retrained_model_of_the_same_name_is_told_apart_by_its_version(folder, store):
    with serving_store(store) as (client, _):
        old = answer_of(client)["model"]
        run(folder, window=3)
        done = loaded(client, "shop")
        assert done["model"].startswith("shop@")
        assert done["model"] != f"shop@{old['version']}"
        assert answer_of(client, model="shop")["model"] == old, "the name alone is the active one's"
        refused = client.post("/v1/models/shop/activate")
        assert refused.status_code == 409
        assert done["model"] in refused.json()["detail"]
        assert activated(client, done["model"])["reference"] == done["model"]
        assert answer_of(client, model="shop")["model"]["version"] != old["version"]
        assert answer_of(client, model=f"shop@{old['version']}", catalog_version=0)["model"] == old
        assert loaded(client, f"shop@{old['version']}")["was_loaded"]


def test_a_saved_recommender_below_the_root_is_loaded_by_its_path(store):
    with serving_store(store) as (client, _):
        done = loaded(client, "saved/tuesday", activate=True)
        assert done["model"].startswith("tuesday@")
        assert everything(client) == {f"i{number}" for number in range(40)}
        assert client.patch("/v1/items/i1", json={"hidden": True}).status_code == 409
        recommender().save(store.root / "saved" / "tuesday")  # the same content is the same version
        assert loaded(client, "saved/tuesday")["was_loaded"]


def test_another_root_holds_other_models(folder, store):
    (folder / "other").mkdir()
    other = run(folder / "other", "c", window=2)
    with serving_store(store, models={"root": str(other.root)}) as (client, _):
        assert loaded(client, "c")["model"].startswith("c@")
        assert client.post("/v1/models", json={"name": "b"}).status_code == 404


@pytest.mark.long
def test_a_model_every_night_does_not_grow(folder, store):
    with serving_store(store) as (client, service):
        seen = list[weakref.ref]()
        for window in range(2, 8):
            run(folder, window=window)
            done = loaded(client, "shop", activate=window % 3 > 0)
            answer_of(client, user_id="ann")
            seen.append(weakref.ref(service.snapshots.active.recommender))
            assert len(client.get("/v1/models").json()["items"]) <= 3, done
        gc.collect()
        alive = [each() for each in seen if each() is not None]
        assert len({id(each) for each in alive}) <= 3
        assert len(client.get("/v1/models").json()["items"]) == 2, "the active one and the one before"
        assert client.get("/metrics").text.count("lexirec_model_info{") == 1


def test_what_holds_in_the_shop_holds_for_the_model_that_comes(store):
    with serving_store(store) as (client, _):
        first, second, third, fourth, fifth = listed(client, k=5)
        assert client.patch(f"/v1/items/{first}", json={"hidden": True, "fields": {"price": 0.25}}).status_code == 200
        loaded(client, "b")
        assert first not in everything(client, model="b")
        assert client.patch(f"/v1/items/{second}", json={"hidden": True}).status_code == 200
        assert second not in everything(client, model="b"), "also before it is activated"
        assert client.delete(f"/v1/items/{third}").status_code == 200
        activated(client, "b")
        assert not {first, second, third} & everything(client)
        assert client.get(f"/v1/items/{first}").json()["fields"]["price"] == 0.25
        assert client.get(f"/v1/items/{third}").json()["state"] == "removed"
        # and back: what changed under b holds under the first one
        assert client.patch(f"/v1/items/{first}", json={"hidden": False}).status_code == 200
        assert client.patch(f"/v1/items/{fourth}", json={"hidden": True}).status_code == 200
        client.post("/v1/models/rollback")
        assert answer_of(client)["model"]["name"] == "shop"
        shown = everything(client)
        assert first in shown
        assert not {second, third, fourth} & shown
        assert fifth in shown
    with serving_store(store, "b") as (client, _):  # the command line names another one
        assert answer_of(client)["model"]["name"] == "b"
        assert not {second, third, fourth} & everything(client)


def test_a_saved_recommender_hides_what_the_shop_hides_also_after_a_restart(store):
    stage = find_run(store, "shop").stages["baselines.memory"]
    shutil.copytree(stage.folder, store.root / "saved" / "copy")
    with serving_store(store) as (client, _):
        hidden = listed(client, k=1)[0]
        client.patch(f"/v1/items/{hidden}", json={"hidden": True})
        loaded(client, "saved/copy", activate=True)
        assert answer_of(client)["model"]["name"] == "copy"
        assert hidden not in everything(client)
    with serving_store(store) as (client, _):
        assert answer_of(client)["model"]["name"] == "copy"
        assert hidden not in everything(client)


def test_items_that_were_published_or_wait_come_along(store):
    with serving_store(store) as (client, _):
        like = client.get(f"/v1/items/{listed(client, k=1)[0]}").json()["fields"]
        client.post("/v1/items", json={"items": [{**like, "item_id": "new-1", "title": "A lamp of paper"}]})
        assert job_of(client, client.post("/v1/catalog/publish"))["state"] == "done"
        client.post("/v1/items", json={"items": [{**like, "item_id": "new-2", "title": "A lamp of glass"}]})
        done = loaded(client, "b")
        assert (done["carried"]["added"], done["items"], done["catalog_version"]) == (2, 85, 1)
        assert "new-1" in everything(client, model="b")
        activated(client, "b")
        assert client.get("/v1/items/new-2").json()["state"] == "staged"
        assert client.get("/v1/catalog").json()["staged"] == 1
        assert job_of(client, client.post("/v1/catalog/publish"))["state"] == "done"
        assert {"new-1", "new-2"} <= everything(client)


def test_after_a_restart_the_model_answers_that_did_before(folder, store):
    with serving_store(store) as (client, _):
        done = loaded(client, "b", activate=True)
    run(folder, window=5)  # a newer run of the experiment that the command line names
    with serving_store(store) as (client, _):
        assert names(client).get(done["model"]) == {"active"}
        until = time.monotonic() + 30  # the model before is loaded beside requests
        while len(names(client)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert client.post("/v1/models/rollback").json()["name"] == "shop"
        old = answer_of(client)["model"]["version"]
    with serving_store(store) as (client, _):
        assert answer_of(client)["model"] == {"name": "shop", "version": old}, "not that of the newer run"
    with serving_store(store, models={"start": "newest"}) as (client, _):
        newest = answer_of(client)["model"]
        assert newest["name"] == "shop"
        assert newest["version"] != old
    with serving_store(store, "b") as (client, _):
        assert answer_of(client)["model"]["name"] == "b"
    shutil.rmtree(store.root / "runs" / "b")
    with serving_store(store) as (client, _):
        assert answer_of(client)["model"] == newest

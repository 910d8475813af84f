import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec import recommend_all
from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.workflows.bulk import answering
from lexirec.workflows.bulk.recommend_all import BulkRun, verify_output
from lexirec.workflows.first_events import import_experiment_events
from tests.serving.model_shop import serving_store
from tests.workflows.bulk.shops import lists_of, toy_store

RULES = {
    "allow": ["price<60"],
    "deny_items": ["toy-00003"],
    "boosts": ["0.7:price<20"],
    "at_most": ["brand=2"],
    "return_fields": ["title", "price"],
}


def asked(rules: dict) -> dict:
    """Return rules as the service takes them."""
    body = dict(rules)
    for name, fields, mark in (("boosts", ("weight", "filter"), ":"), ("at_most", ("field", "count"), "=")):
        pairs = [text.split(mark, 1) for text in rules.get(name, ())]
        body[name] = [dict(zip(fields, pair)) for pair in pairs]
    for boost in body["boosts"]:
        boost["weight"] = float(boost["weight"])
    for quota in body["at_most"]:
        quota["count"] = int(quota["count"])
    return body


def answers(client, users, **body) -> dict[str, dict]:
    """Ask a service for the lists of many users, in batches."""
    found = {}
    for first in range(0, len(users), 50):
        requests = [{"user_id": user, **body} for user in users[first : first + 50]]
        response = client.post("/v1/recommend/batch", json={"requests": requests})
        assert response.status_code == 200, response.text
        for user, answer in zip(users[first : first + 50], response.json()["responses"], strict=True):
            found[user] = answer
    return found


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({}, marks=pytest.mark.long, id="plain"),
        pytest.param(RULES, id="rules"),
        pytest.param({"exclude_seen": False}, marks=pytest.mark.long, id="seen"),
    ],
)
def test_500_users_and_newcomers_get_the_lists_of_the_service(tmp_path, rules):
    store = toy_store()
    done = recommend_all("shop", tmp_path / "out", k=7, store=store.root, **rules)
    assert done.manifest["rows"] == 500
    bulk = lists_of(tmp_path / "out")
    users = [*bulk, "somebody new"]
    pq.write_table(pa.table({"user_id": ["somebody new", users[0]]}), tmp_path / "users.parquet")
    recommend_all("shop", tmp_path / "some", k=7, store=store.root, users=tmp_path / "users.parquet", **rules)
    some = lists_of(tmp_path / "some")
    assert some[users[0]]["items"] == bulk[users[0]]["items"]
    bulk |= some
    with serving_store(store) as (client, service):
        assert import_experiment_events(store, "shop", service.database).rejected == 0
        served = answers(client, users, k=7, timeout_ms=10_000, **asked(rules))
    for user, answer in served.items():
        assert bulk[user]["items"] == [item["item_id"] for item in answer["items"]], user
        assert bulk[user]["scores"] == pytest.approx([item["score"] for item in answer["items"]], abs=1e-5)
        assert bulk[user]["fallback"] == answer["fallback"]
        assert bulk[user]["model"] == f"{answer['model']['name']}@{answer['model']['version']}"
        if "return_fields" in rules:
            assert bulk[user]["items_title"] == [item["fields"]["title"] for item in answer["items"]]
    assert bulk["somebody new"]["fallback"] == "newcomer"


def test_a_second_call_makes_nothing_and_missing_parts_are_made_again(tmp_path):
    options = {"store": toy_store().root, "users_per_part": 100}
    first = recommend_all("shop", tmp_path, **options)
    assert (first.parts, first.missing) == (5, 0)
    assert recommend_all("shop", tmp_path, **options).parts == 0
    next(tmp_path.glob("part-00003-*")).unlink()
    with pytest.raises(ArtifactError, match=r"1 of 5 parts are missing \(3\)"):
        verify_output(tmp_path)
    assert recommend_all("shop", tmp_path, **options).manifest == first.manifest
    assert verify_output(tmp_path) == first.manifest
    with pytest.raises(ArtifactError, match="holds parts of another plan"):
        recommend_all("shop", tmp_path, k=3, **options)


@pytest.mark.long
def test_overlapping_shares_write_the_bytes_of_one_run(tmp_path):
    options = {"store": toy_store().root, "users_per_part": 50}
    whole = recommend_all("shop", tmp_path / "whole", **options)
    share = recommend_all("shop", tmp_path / "out", shard="1/3", **options)
    assert (share.parts, share.missing, share.manifest) == (3, 7, None)
    for part in (tmp_path / "out").glob("part-*"):
        assert part.read_bytes() == (tmp_path / "whole" / part.name).read_bytes()
    recommend_all("shop", tmp_path / "out", shard="0/2", **options)
    both = recommend_all("shop", tmp_path / "out", shard="1/2", **options)
    assert both.manifest["parts"] == whole.manifest["parts"]


@pytest.mark.long
def test_the_newcomers_list_is_computed_once(tmp_path, monkeypatch):
    calls, original = [], answering.answer_tasks

    def counted(tasks):
        calls.append(len(tasks))
        return original(tasks)

    monkeypatch.setattr(answering, "answer_tasks", counted)
    (tmp_path / "users.csv").write_text("user_id\n" + "".join(f"new {number}\n" for number in range(300)))
    recommend_all("shop", tmp_path / "out", store=toy_store().root, users=tmp_path / "users.csv")
    lists = lists_of(tmp_path / "out")
    assert calls == [1]
    assert len(lists) == 300
    assert len({tuple(row["items"]) for row in lists.values()}) == 1


def events_of(folder: Path) -> pa.Table:
    """Write the shop's events with one more for the first user, and without those of the last one."""
    from lexirec.data.toy_shop.shop import toy_shop

    toy_shop(seed=0, items=120, shoppers=500).write(folder)
    return pq.read_table(folder / "interactions.parquet")


@pytest.mark.long
def test_unchanged_users_are_copied_and_others_computed(tmp_path, monkeypatch):
    store, table = toy_store(), events_of(tmp_path)
    users = table.column("user_id").to_pylist()
    more = table.slice(0, 1).to_pylist()[0]
    item = next(each for each in table.column("item_id").to_pylist() if each != more["item_id"])
    more |= {"item_id": item, "time": max(table.column("time").to_pylist())}
    kept = table.filter(pa.array([user != users[-1] for user in users]))
    pq.write_table(pa.concat_tables([kept, pa.Table.from_pylist([more], schema=table.schema)]), tmp_path / "b.parquet")
    options = {"store": store.root, "users_per_part": 60}
    recommend_all("shop", tmp_path / "old", events=tmp_path / "interactions.parquet", **options)
    asked, original = [], answering.Answering.lists

    def counted(self, rows):
        asked.extend(self.inputs.user_ids.take(pa.array(rows)).to_pylist())
        return original(self, rows)

    monkeypatch.setattr(answering.Answering, "lists", counted)
    recommend_all("shop", tmp_path / "new", events=tmp_path / "b.parquet", since=tmp_path / "old", **options)
    assert asked == [more["user_id"]]
    fresh = recommend_all("shop", tmp_path / "fresh", events=tmp_path / "b.parquet", **options)
    new, old = lists_of(tmp_path / "new"), lists_of(tmp_path / "old")
    assert fresh.manifest["rows"] == len(new) == 499
    whole = lists_of(tmp_path / "fresh")
    assert {user: row["items"] for user, row in new.items()} == {user: row["items"] for user, row in whole.items()}
    assert new[more["user_id"]]["items"] != old[more["user_id"]]["items"]


@pytest.mark.long
def test_nothing_is_copied_from_other_rules_and_from_no_run(tmp_path, caplog):
    options = {"store": toy_store().root}
    recommend_all("shop", tmp_path / "old", **options)
    run = BulkRun.prepare("shop", tmp_path / "new", k=3, since=tmp_path / "old", **options)
    assert run.task.previous is None
    assert "no list is taken over" in caplog.text
    with pytest.raises(ArtifactError, match="holds no finished run of recommend-all"):
        recommend_all("shop", tmp_path / "other", since=tmp_path, **options)


TYPED = """
name = "typed"
[data]
items = "items.csv"
interactions = "events.csv"
[data.events]
read = ["buy"]
seen = ["buy", "view"]
never = ["hide"]
evaluate = false
[baselines.memory]
kind = "memory"
[evaluation]
ks = [2]
"""


@pytest.mark.long
def test_types_of_events_mean_what_they_mean_to_recommend(tmp_path):
    from lexirec import recommend
    from lexirec.core.store import Store
    from lexirec.models.loading import load_named
    from lexirec.pipeline.experiment import load_experiment
    from lexirec.pipeline.run import run_experiment

    chance = np.random.default_rng(0)
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"A{n},Thing {n}\n" for n in range(30)))
    rows, events = ["user_id,item_id,time,type"], {}
    for user in range(20):
        kinds = ["buy"] * 5 + ["view"] * 4 + ["hide"] * 3 if user else ["view", "hide"]
        items = chance.permutation(30)[: len(kinds)]
        events[f"u{user}"] = [(kind, f"A{item}") for kind, item in zip(kinds, items)]
        rows += [f"u{user},{item},{1_600_000_000 + n},{kind}" for n, (kind, item) in enumerate(events[f"u{user}"])]
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "typed.toml").write_text(TYPED)
    store = Store(tmp_path / "store")
    run_experiment(load_experiment(tmp_path / "typed.toml"), store)
    recommend_all("typed", tmp_path / "out", store=store.root)
    lists, model = lists_of(tmp_path / "out"), load_named(store, "typed")
    assert set(lists) == set(events)
    for user, typed in events.items():
        of = {kind: [item for each, item in typed if each == kind] for kind in ("buy", "view", "hide")}
        assert not {*of["buy"], *of["view"], *of["hide"]} & {*lists[user]["items"]}
        if of["buy"]:
            seen = [*of["buy"], *of["view"]]
            expected = recommend(model, of["buy"], k=10, seen=seen, deny_items=of["hide"])
            assert lists[user]["items"] == [each.item_id for each in expected]
    assert lists["u0"]["fallback"] == "newcomer"


@pytest.mark.long
def test_a_folder_needs_a_table_of_events(tmp_path):
    from lexirec.models.loading import load_named

    load_named(toy_store(), "shop").save(tmp_path / "model")
    with pytest.raises(SettingsError, match="names no table of events; give one"):
        recommend_all(str(tmp_path / "model"), tmp_path / "out")
    events_of(tmp_path)
    recommend_all(str(tmp_path / "model"), tmp_path / "out", events=tmp_path / "interactions.parquet")
    recommend_all("shop", tmp_path / "named", store=toy_store().root)
    named = lists_of(tmp_path / "named")
    assert all(row["items"] == named[user]["items"] for user, row in lists_of(tmp_path / "out").items())


@pytest.mark.long
def test_a_shard_that_fails_is_put_aside_and_named(tmp_path, monkeypatch):
    original = answering.Answering.lists

    def broken(self, rows):
        if rows[0] == 100:
            raise ValueError("scores are no numbers")
        return original(self, rows)

    monkeypatch.setattr(answering.Answering, "lists", broken)
    options = {"store": toy_store().root, "users_per_part": 100}
    with pytest.raises(ArtifactError, match=r"put aside: 1 \(ValueError: scores are no numbers\); all others are done"):
        recommend_all("shop", tmp_path, **options)
    assert len(list(tmp_path.glob("part-*.parquet"))) == 4
    (kept,) = tmp_path.glob("_failed-*.json")
    assert json.loads(kept.read_text())["first_row"] == 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"users": "nobody.csv"}, DataError, "there is no such file"),
        ({"users": "twice.csv"}, DataError, "duplicate|listed once"),
        ({"users": "other.csv"}, DataError, "there is no column 'user_id'"),
        ({"k": 0}, SettingsError, "k = 0"),
        ({"k": 300}, SettingsError, "k = 300"),
        ({"boosts": ["much:price<3"]}, DataError, "cannot be parsed"),
        ({"allow": ["color=red"]}, Exception, "color"),
        ({"allow": ["price<0"]}, DataError, "leave no item"),
        ({"return_fields": ["colour"]}, Exception, "which items do not have"),
        ({"shard": "3/2"}, SettingsError, "write I/N"),
        ({"workers": 0}, SettingsError, "at least one"),
        ({"executor": "dask"}, SettingsError, "allowed are"),
        ({"wrokers": 2}, SettingsError, "Did you mean 'workers'"),
        ({"recommender": "gram"}, ArtifactError, "has no recommender 'gram'"),
    ],
)
def test_wrong_inputs_are_one_line(tmp_path, options, error, message):
    (tmp_path / "twice.csv").write_text("user_id\na\na\n")
    (tmp_path / "other.csv").write_text("name\na\n")
    if "users" in options:
        options = {**options, "users": tmp_path / options["users"]}
    with pytest.raises(error, match=message) as raised:
        recommend_all("shop", tmp_path / "out", store=toy_store().root, **options)
    assert "\n" not in str(raised.value)

import json

import pytest

from tests.workflows.bulk.shops import lists_of, toy_store


def test_lists_of_all_users_are_written_checked_and_written_once(lexirec, tmp_path):
    arguments = ["recommend-all", "shop", "--out", tmp_path / "out", "-k", 4, "--store", toy_store().root]
    status, out, _ = lexirec(*arguments, "--field", "title", "--at-most", "brand=1")
    assert status == 0
    assert "5 parts made in" in out
    assert "all 5 are there and checked: 500 users" in out
    rows = lists_of(tmp_path / "out")
    assert all(len(row["items"]) == len(row["items_title"]) == 4 for row in rows.values())
    status, out, _ = lexirec(*arguments, "--field", "title", "--at-most", "brand=1", "--json")
    assert json.loads(out)["parts"] == 0
    status, out, _ = lexirec("recommend-all", "shop", "--out", tmp_path / "out", "--verify")
    assert (status, out) == (0, "5 parts are there and checked: 500 users\n")
    status, _, said = lexirec(*arguments)
    assert status == 1
    assert "holds parts of another plan" in said
    assert said.count("\n") == 1


def test_a_dry_run_estimates_and_writes_nothing(lexirec, tmp_path):
    arguments = ["recommend-all", "shop", "--out", tmp_path / "out", "--store", toy_store().root, "--workers", 2]
    status, out, _ = lexirec(*arguments, "--dry-run")
    assert status == 0
    assert "users: 500 in 5 parts (500 to rank, 0 without events, 0 unchanged)" in out
    assert "with 2 workers" in out
    found = json.loads(lexirec(*arguments, "--dry-run", "--json", "--shard", "0/5")[1])["estimate"]
    assert (found["users"], found["parts"], found["workers"]) == (100, 1, 1)
    assert found["seconds"] == pytest.approx(found["load_seconds"] + 100 / found["users_per_second"])
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_large_run_begins_with_its_estimate(lexirec, tmp_path, monkeypatch):
    from lexirec.cli import recommend_all

    monkeypatch.setattr(recommend_all, "WORTH_A_PROBE", 100)
    (tmp_path / "file").write_text("")
    arguments = ["recommend-all", "shop", "--store", toy_store().root, "--out"]
    status, out, _ = lexirec(*arguments, tmp_path / "out", "--workers", 2)
    assert status == 0
    assert out.index("estimate:") < out.index("parts made")
    status, out, _ = lexirec(*arguments, tmp_path / "one", "--json")
    manifest = json.loads(out)["manifest"]
    assert manifest["digest"] == json.loads((tmp_path / "out" / "_SUCCESS").read_text())["digest"]
    status, _, said = lexirec(*arguments, tmp_path / "file")
    assert (status, "is a file; give a folder" in said) == (1, True)

import json

import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.shards.plan import ShardPlan, Share
from lexirec.shards.running import run_shards
from tests.shards.squares import Squares, plan_of


def test_shards_cover_every_row_once():
    plan = plan_of(41, 10)
    shards = [plan.shard(number) for number in range(len(plan))]
    assert [row for shard in shards for row in range(shard.start, shard.stop)] == list(range(41))
    assert [len(shard) for shard in shards] == [10, 10, 10, 10, 1]


def test_the_digest_depends_on_inputs_and_sizes_alone():
    same = plan_of(40, 10, model="a", k=3)
    assert same == ShardPlan.over(40, 10, {"k": 3, "model": "a"})
    others = {plan_of(40, 10, model="b", k=3).digest, plan_of(41, 10, model="a", k=3).digest, plan_of(40, 9).digest}
    assert len(others | {same.digest}) == 4


def test_shares_of_a_plan_are_disjoint_and_complete(tmp_path):
    plan = plan_of(95, 10)
    found = [shard.number for index in range(3) for shard in plan.pending(tmp_path, Share(index, 3))]
    assert sorted(found) == list(range(10))


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "1/0", ""])
def test_a_share_that_is_none_is_one_line(text):
    with pytest.raises(SettingsError, match=r"write I/N, the I-th of N shares counted from 0"):
        Share.parse(text)


def test_parts_of_other_settings_are_refused_and_verified_ones_noticed(tmp_path):
    plan = plan_of(model="a")
    run_shards(plan, Squares(), tmp_path)
    with pytest.raises(ArtifactError, match="parts of another plan"):
        plan_of(model="b").pending(tmp_path)


def test_the_manifest_names_every_part_and_notices_damage(tmp_path):
    plan = plan_of()
    run_shards(plan, Squares(), tmp_path, share=Share(0, 2))
    with pytest.raises(ArtifactError, match=r"2 of 4 parts are missing \(1, 3\); run the same command again"):
        plan.verify(tmp_path)
    run_shards(plan, Squares(), tmp_path)
    manifest = plan.verify(tmp_path, {"model": "m"})
    assert json.loads((tmp_path / "_SUCCESS").read_text()) == manifest
    assert [part["rows"] for part in manifest["parts"]] == [10] * 4
    assert manifest["facts"] == {"model": "m"}
    assert plan.verify(tmp_path) == manifest  # facts are kept
    assert pq.read_table(tmp_path).column("row").to_pylist() == list(range(40))
    part = plan.part(tmp_path, 2)
    content = bytearray(part.read_bytes())
    content[20] ^= 1
    part.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{part.name} (is damaged|has changed)"):
        plan.verify(tmp_path)


def test_a_part_with_other_rows_is_noticed(tmp_path):
    plan = plan_of()
    run_shards(plan, Squares(), tmp_path)
    plan.part(tmp_path, 1).write_bytes(plan.part(tmp_path, 0).read_bytes())
    (tmp_path / "_SUCCESS").unlink(missing_ok=True)
    plan.verify(tmp_path)  # as many rows: what they hold is for the reader to know
    pq.write_table(pq.read_table(plan.part(tmp_path, 0)).slice(0, 4), plan.part(tmp_path, 1))
    with pytest.raises(ArtifactError, match="has 4 rows, not 10"):
        plan.verify(tmp_path)


def test_sizes_below_one_are_refused():
    with pytest.raises(SettingsError, match="rows is 0"):
        plan_of(0)
    with pytest.raises(SettingsError, match="rows_per_shard is 0"):
        plan_of(10, 0)

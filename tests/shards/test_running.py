import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.shards import scheduling
from lexirec.shards.plan import Share
from lexirec.shards.running import run_shards
from tests.shards.squares import Squares, plan_of

ROOT = Path(__file__).resolve().parents[2]


def digest_of_one_process(folder: Path, plan) -> str:
    run_shards(plan, Squares(), folder)
    return plan.verify(folder)["digest"]


def test_a_second_run_makes_what_is_missing_alone(tmp_path):
    plan, log = plan_of(), tmp_path / "log"
    assert run_shards(plan, Squares(attempts=log), tmp_path / "out") == 4
    plan.part(tmp_path / "out", 2).unlink()
    assert run_shards(plan, Squares(attempts=log), tmp_path / "out") == 1
    assert log.read_text().split() == ["0", "1", "2", "3", "2"]


def test_a_failing_shard_is_put_aside_after_three_attempts_and_named(tmp_path):
    plan, log, out = plan_of(), tmp_path / "log", tmp_path / "out"
    message = r"1 of 4 shards failed 3 times and are put aside: 1 \(nothing comes of shard 1\); all others are done"
    with pytest.raises(ArtifactError, match=message):
        run_shards(plan, Squares(failing=(1,), attempts=log), out)
    assert log.read_text().split().count("1") == 3
    (kept,) = out.glob("_failed-*.json")
    assert json.loads(kept.read_text()) == {
        "shard": 1,
        "first_row": 10,
        "last_row": 19,
        "error": "nothing comes of shard 1",
    }
    assert [shard.number for shard in plan.pending(out)] == [1]
    assert run_shards(plan, Squares(), out) == 1
    assert not list(out.glob("_failed-*"))


def test_overlapping_runs_write_the_same_bytes(tmp_path):
    plan = plan_of(95, 10)
    run_shards(plan, Squares(), tmp_path / "a", share=Share(0, 2))
    run_shards(plan, Squares(), tmp_path / "b", share=Share(0, 1))
    for part in (tmp_path / "a").glob("part-*"):
        assert part.read_bytes() == (tmp_path / "b" / part.name).read_bytes()


def test_processes_make_the_parts_of_one_process_replace_lost_workers_and_name_what_kills_them(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduling, "MOST_LOST", 2)
    plan = plan_of(60, 10)
    with pytest.raises(ArtifactError, match=r"are put aside: 2, 4 \("):
        run_shards(plan, Squares(failing=(2,), killing=(4,)), tmp_path / "out", executor="processes", workers=2)
    errors = {json.loads(path.read_text())["error"] for path in (tmp_path / "out").glob("_failed-*")}
    assert errors == {"nothing comes of shard 2", "its worker is lost: killed by signal SIGKILL"}
    assert run_shards(plan, Squares(), tmp_path / "out", executor="processes", workers=1) == 2
    assert plan.verify(tmp_path / "out")["digest"] == digest_of_one_process(tmp_path / "one", plan)


def test_a_state_that_cannot_be_loaded_ends_the_run_in_one_line(tmp_path):
    with pytest.raises(ArtifactError, match=r"^the model is gone$"):
        run_shards(plan_of(), Squares(broken="the model is gone"), tmp_path, executor="processes")


@pytest.mark.parametrize(("values", "message"), [({"workers": 0}, "at least one"), ({"executor": "dask"}, "allowed")])
def test_wrong_settings_are_refused(tmp_path, values, message):
    with pytest.raises(SettingsError, match=message):
        run_shards(plan_of(), Squares(), tmp_path, **values)


def children(parent: int) -> list[int]:
    """Return the spawned workers of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and "spawn_main" in command:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.long
def test_killed_workers_and_a_killed_parent_lose_and_double_nothing(tmp_path):
    """A worker is killed every three seconds, then the parent; the next run finishes what is missing."""
    plan, out = plan_of(4_000, 100), tmp_path / "out"
    code = (
        "from pathlib import Path\nfrom lexirec.shards.running import run_shards\n"
        "from tests.shards.squares import Squares, plan_of\n"
        f"run_shards(plan_of(4_000, 100), Squares(0.6), Path({str(out)!r}), executor='processes', workers=2)\n"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    parent = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    killed, until, choose = 0, time.monotonic() + 12, random.Random(0)
    while time.monotonic() < until and parent.poll() is None:
        time.sleep(3)
        workers = children(parent.pid)
        if workers:
            os.kill(choose.choice(workers), signal.SIGKILL)
            killed += 1
    assert parent.poll() is None, "the run ended before it was killed"
    orphans = children(parent.pid)
    parent.kill()
    parent.wait()
    made = len(list(out.glob("part-*.parquet")))
    assert killed >= 3
    assert 0 < made < len(plan)
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=60)
    manifest = plan.verify(out)
    assert pq.read_table(out).column("row").to_pylist() == list(range(4_000))
    assert manifest["digest"] == digest_of_one_process(tmp_path / "one", plan)
    assert not list(out.glob("*.partial"))
    assert not [each for each in orphans if Path(f"/proc/{each}").exists()]

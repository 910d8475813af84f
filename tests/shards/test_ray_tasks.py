"""Workers on a Ray cluster of two nodes on this machine, of which one is killed."""

import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import SettingsError
from lexirec.shards.running import run_shards
from tests.shards.squares import Squares, plan_of

ROOT = Path(__file__).resolve().parents[2]


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[ray\]'"):
        run_shards(plan_of(), Squares(), tmp_path, executor="ray")


@pytest.fixture
def cluster(monkeypatch):
    """A head that runs nothing itself besides one CPU, and one more node."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")
    folder = Path(tempfile.mkdtemp(prefix="lr", dir="/tmp"), "ray")  # paths of sockets have 107 bytes at most
    folder.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(folder.parent))
    options = {"num_cpus": 1, "object_store_memory": 150_000_000}
    made = Cluster(
        initialize_head=True, head_node_args={**options, "include_dashboard": False, "temp_dir": str(folder)}
    )
    node = made.add_node(**options)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made, node, options
    ray.shutdown()
    made.shutdown()
    shutil.rmtree(folder.parent, ignore_errors=True)


@pytest.mark.long
def test_a_lost_node_loses_and_doubles_nothing(cluster, tmp_path):
    made, node, options = cluster
    plan, out = plan_of(400, 10), tmp_path / "out"
    with ThreadPoolExecutor(1) as pool:  # nodes are started by the main thread, as they listen to signals
        running = pool.submit(run_shards, plan, Squares(0.3), out, executor="ray", workers=2)
        until = time.monotonic() + 60
        while len(list(out.glob("part-*.parquet"))) < 5 and time.monotonic() < until:
            time.sleep(0.05)
        made.remove_node(node, allow_graceful=False)
        lost = len(list(out.glob("part-*.parquet")))
        made.add_node(**options)
        assert running.result(timeout=90) == 40
    assert 5 <= lost < 40
    manifest = plan.verify(out)
    assert pq.read_table(out).column("row").to_pylist() == list(range(400))
    run_shards(plan, Squares(), tmp_path / "one")
    assert manifest["digest"] == plan.verify(tmp_path / "one")["digest"]

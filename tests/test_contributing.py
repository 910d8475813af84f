"""CONTRIBUTING.md is followed to the letter: its diffs are applied to a copy of the package and every part is used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lexirec.core.runs import evaluations, find_run
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("baseline", "quantiser", "identifier scheme", "importer", "task of TS-Rec", "reward of TS-Rec")
EXPERIMENT = """
name = "followed"

[data]
kind = "toy-shop"
products = 84
shoppers = 80

[vectors.text]
dimensions = 9

[codes]
kind = "signs"

[identifiers]
kind = "atomic"

[backbone]
kind = "causal"
name = "scratch:tiny"
vocabulary_size = 600

[baselines.new]
kind = "fresh"
history_decay = 0.5

[model]
kind = "causal"

[model.prompts]
max_history = 5

[model.tasks]
sid_title = 0.0
history_title = 0.0
ts_align = 0.0
recent_item = 1.0

[model.training]
epochs = 1
validation_users = 20

[reinforcement.training]
cases = 16
batch_size = 8
group = 4
validation_users = 20

[reinforcement.rewards]
first_token = 0.5

[evaluation]
ks = [10]
seen = ["included"]
"""


def diffs() -> dict[str, str]:
    """Return the one diff of every section "A …" of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    sections = re.split(r"^### An? ", text, flags=re.MULTILINE)[1:]
    found = {
        section.partition("\n")[0]: re.findall(r"^```diff\n(.*?)^```$", section, re.M | re.S) for section in sections
    }
    assert all(len(each) == 1 for each in found.values())
    return {name: each[0] for name, each in found.items()}


def apply(diff: str, root: Path) -> None:
    """Apply a diff as `git apply` would; hunks are found by their context, since they name no lines."""
    for old, new, hunk in re.findall(
        r"^--- (\S+)\n\+\+\+ b/(\S+)\n@@\n((?:[ +-].*\n|\+\n)+?)(?=--- |\Z)", diff, re.MULTILINE
    ):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        path = root / new
        if old == "/dev/null":
            assert not path.exists(), f"{new} is there already"
            path.write_text(after, "utf-8")
        else:
            text = path.read_text("utf-8")
            assert text.count(before) == 1, f"{new}: the lines before and after the new one stand there otherwise"
            path.write_text(text.replace(before, after), "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", root / "src")
    shutil.copytree(ROOT / "experiments", root / "experiments")
    for diff in diffs().values():
        apply(diff, root)
    return root


def python(copy: Path, code: str, *arguments: str) -> str:
    """Run code with the changed package, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(copy) -> str:
    (copy / "followed.toml").write_text(EXPERIMENT)
    main = "from lexirec.cli import main; main()"
    return python(copy, main, "--quiet", "run", "followed.toml", "--store", "store")


def test_every_part_has_a_diff_of_a_module_and_one_line():
    assert tuple(diffs()) == PARTS
    for diff in diffs().values():
        module, table = re.findall(r"^\+\+\+ b/src/lexirec/(\S+)$", diff, re.MULTILINE)
        assert table == f"{Path(module).parent}/registry.py"
        assert len(re.findall(r"^\+ ", diff.partition(table)[2], re.MULTILINE)) == 1


def test_a_new_baseline_has_its_row_in_the_results(copy, printed):
    assert re.search(r"^\W*new\b.*\.\d{4}", printed, re.MULTILINE), printed
    folder = evaluations(find_run(Store(copy / "store"), "followed"))["new"]
    assert 0 < Report.load(folder / "included").metrics["recall@10"] < 1


def test_new_codes_identifiers_tasks_and_rewards_are_used(copy, printed):
    run = find_run(Store(copy / "store"), "followed")
    folders = {name: stage.folder for name, stage in run.stages.items()}
    assert "level" in (folders["codes"] / "summary.md").read_text("utf-8")
    identifiers = Identifiers.load(folders["identifiers"])
    assert identifiers.spelled(42) == ["<a_42>"]
    assert "examples of recent_item" in (folders["model"] / "summary.md").read_text("utf-8")
    assert run.settings["reinforcement"]["rewards"]["first_token"] == 0.5
    assert {"model", "reinforced", "new"} == set(evaluations(run))


def test_a_new_importer_writes_the_tables(copy):
    (copy / "raw").mkdir()
    (copy / "raw" / "sessions.json").write_text(json.dumps({"u": ["b", "a"], "v": ["a"]}))
    (copy / "raw" / "titles.json").write_text(json.dumps({"a": "Soap", "b": "Towel"}))
    code = "from lexirec.data.importers.registry import import_dataset; import_dataset('sessions', 'raw', 'tables')"
    python(copy, code)
    assert pq.read_table(copy / "tables" / "items.parquet").to_pylist() == [
        {"item_id": "a", "title": "Soap"},
        {"item_id": "b", "title": "Towel"},
    ]
    assert pq.read_table(copy / "tables" / "interactions.parquet").num_rows == 3

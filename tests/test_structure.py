"""The tree: tests mirror the source, packages are imported by module, and using a model loads no training half."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.small_run import small_run

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = ROOT / "src" / "lexirec", ROOT / "tests"
FACES = {"__init__.py", "cli/__init__.py", "client/__init__.py"}
"""Packages that hand names on: the library's public names, and the application that commands join."""
MOST_MODULES = 100


def test_tests_mirror_the_source():
    """`tests/P/test_M.py` and `tests/P/test_M_aspect.py` test `src/lexirec/P/M.py`; tests of the whole stand above."""
    strangers = []
    for path in TESTS.rglob("test_*.py"):
        folder, name = path.parent.relative_to(TESTS), path.stem.removeprefix("test_")
        if folder == Path() or (TESTS / folder / "__init__.py").is_file() is False:
            continue
        words = name.split("_")
        heads = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
        known = any((SOURCE / folder / f"{head}.py").is_file() for head in heads)
        if not known and (SOURCE / folder).is_dir():
            strangers.append(path.relative_to(TESTS).as_posix())
    assert strangers == []


def test_packages_only_say_what_they_are():
    for path in SOURCE.rglob("__init__.py"):
        if path.relative_to(SOURCE).as_posix() not in FACES:
            body = ast.parse(path.read_text("utf-8")).body
            assert len(body) == 1, path
            assert len(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "") > 20, path


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh process has loaded after running the code."""
    end = "\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def check_stands_alone(loaded: set[str]) -> None:
    own = {name for name in loaded if name.split(".")[0] == "lexirec"}
    halves = ("lexirec.training", "lexirec.pipeline", "lexirec.reporting", "lexirec.workflows")
    assert not {name for name in own if name.startswith(halves)}
    assert not loaded & {"matplotlib", "sklearn", "duckdb", "transformers.trainer", "optuna"}
    assert len(own) <= MOST_MODULES


def test_importing_the_library_loads_no_torch():
    loaded = loaded_by("import lexirec")
    assert not loaded & {"torch", "transformers", "numpy", "pyarrow"}


@pytest.mark.parametrize("part", ["memory", "sasrec"])
def test_loading_a_baseline_stands_alone(part):
    _, run = small_run()
    folder = run.stage(f"baselines.{part}").folder
    check_stands_alone(loaded_by(f"from lexirec import load_recommender; load_recommender({str(folder)!r})"))


def test_recommending_on_the_command_line_stands_alone():
    store, run = small_run()
    item = "toy-00001"
    command = ["-q", "recommend", run.name, "--history", item, "-k", "3", "--store", str(store.root)]
    code = (
        f"from lexirec import cli\ntry:\n    cli.main({command!r})\nexcept SystemExit as end:\n    assert not end.code"
    )
    check_stands_alone(loaded_by(code))

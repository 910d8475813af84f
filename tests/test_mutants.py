"""The table of mutants fits the source, and the script tells a line that tests guard from one that they do not."""

import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def load():
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "benchmarks" / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


script = load()
TABLE = script.mutants()


@pytest.mark.parametrize("mutant", TABLE, ids=[each.name for each in TABLE])
def test_every_mutant_has_its_place_and_tests(mutant):
    assert mutant.places() == 1, f"{mutant.file}: the line has changed; change it in benchmarks/mutants.toml, too"
    assert mutant.new not in ("", mutant.old) or mutant.name == "ties-favour-target"
    text = (ROOT / mutant.source).read_text(encoding="utf-8")
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert mutant.tests
    assert all((ROOT / "tests" / each).is_file() for each in mutant.tests)


def test_the_table_has_forty_mutants_of_different_names():
    assert len(TABLE) >= 40
    assert [name for name, count in Counter(each.name for each in TABLE).items() if count > 1] == []


@pytest.mark.long
def test_two_mutants_are_killed_and_a_harmless_one_survives(tmp_path):
    folder = script.scratch_copy(tmp_path)
    rank, average = (script.mutants([name])[0] for name in ("rank-off-by-one", "ndcg-discount"))
    for mutant in (rank, average):
        trial = script.try_mutant(mutant, folder)
        assert (trial.outcome, trial.by.partition("::")[0]) == ("killed", "evaluation/test_metrics.py")
    harmless = replace(rank, new=f"1 + {rank.old.replace(' + 1', '')}")
    assert script.try_mutant(harmless, folder).outcome == "survived"
    assert script.try_mutant(replace(rank, old="no such line"), folder).outcome == "broken"
    broken = script.try_mutant(replace(rank, new="hits.argmax(axis=1) +"), folder)
    assert broken.outcome == "broken", "what cannot be imported proves nothing"
    assert rank.places(folder) == 1, "every line is put back"


def test_the_exit_status_counts(monkeypatch, capsys):
    outcomes = iter(
        ["killed"] * 38 + ["survived"] * 2 + ["killed"] * 37 + ["survived"] * 3 + ["killed"] * 39 + ["broken"]
    )
    monkeypatch.setattr(script, "mutants", lambda patterns=(): TABLE[:40])
    monkeypatch.setattr(
        script, "try_all", lambda chosen, jobs: (script.Trial(each, next(outcomes), "", 1.0) for each in chosen)
    )
    assert [script.main(["--skip-check"]) for _ in range(3)] == [0, 1, 1]
    assert "40 mutants: 38 killed, 2 survived, 0 broken" in capsys.readouterr().out


def test_tests_that_fail_anyway_are_said_first(monkeypatch, capsys):
    monkeypatch.setattr(script, "passes_without", lambda chosen: "FAILED tests/some.py")
    monkeypatch.setattr(script, "try_all", lambda chosen, jobs: pytest.fail("no mutant should be tried"))
    assert script.main([]) == 2
    assert "fail without any mutant" in capsys.readouterr().err
    assert script.main(["no-such-name"]) == 1

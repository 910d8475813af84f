import json
import re
from pathlib import Path

import pytest

from lexirec import cli
from lexirec.core.errors import SettingsError
from lexirec.core.progress import quiet
from lexirec.core.shipped_files import shipped
from lexirec.workflows.demo import EXPERIMENTS, content_of, demonstrate
from tests.worlds.small_run import small_run

SMALL = [
    "data.products=100",
    "data.shoppers=120",
    "codes.branching=4",
    "baselines.sasrec.training.epochs=1",
    "baselines.sasrec-dot.training.epochs=1",
    "model.training.epochs=1",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with quiet():
        return demonstrate(tmp_path_factory.mktemp("demo"), SMALL)


@pytest.fixture(scope="module")
def spelled(tmp_path_factory):
    """The demonstration of TS-Rec, small."""
    changes = [
        *SMALL,
        "pretraining.epochs=1",
        "model.training.validation_users=50",
        "reinforcement.training.cases=32",
        "reinforcement.training.validation_users=50",
    ]
    with quiet():
        return demonstrate(tmp_path_factory.mktemp("demo"), changes, "tsrec")


@pytest.mark.parametrize("family", EXPERIMENTS)
def test_the_experiments_are_shipped(family):
    assert shipped(EXPERIMENTS[family]).is_file()


def test_there_is_no_third_family():
    with pytest.raises(SettingsError, match=r"--family tsrek: allowed are gram, tsrec\. Did you mean 'tsrec'"):
        demonstrate(Path("nowhere"), family="tsrek")


@pytest.mark.long
def test_it_leaves_a_report_with_its_figures(found):
    text = found.report.read_text()
    figures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(figures) >= 3
    assert all((found.report.parent / figure).is_file() for figure in figures)
    assert "What to try next" in text


def test_it_shows_metrics_beside_the_floor_and_three_shoppers(found):
    systems = {system.name: system for system in found.content.systems}
    assert {"popularity", "transitions", "memory", "sasrec", "model"} <= set(systems)
    assert [name for name, system in systems.items() if system.main] == ["model"]
    assert {"transitions", "memory"} <= {name for name, system in systems.items() if system.floor}
    assert len(found.content.shoppers) == 3
    assert all(shopper.suggestions and shopper.history for shopper in found.content.shoppers)
    assert any("items.csv" in step for step in found.content.next_steps)
    assert len(found.content.census) >= 2


def test_it_shows_how_the_model_learned_and_how_it_was_measured(found):
    assert found.content.learning is not None
    assert found.content.learning.best_step in dict(found.content.learning.validation)
    assert found.content.protocol["model"].startswith("late-fusion")
    assert (found.report.parent / "learning.png").is_file()


def test_the_command_prints_it(found, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["-q", "demo", "--dir", str(found.report.parent), *(f"--set={change}" for change in SMALL)])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert "what to try next" in out
    assert len(re.findall(r"│ recommended +│", out)) == 3
    assert "leave-last-out" in out
    assert all(part in out for part in ("lexirec recommend toy-gram", "mine.toml", "report.md"))


@pytest.mark.long
def test_ts_rec_goes_all_the_way(spelled):
    systems = {system.name: system for system in spelled.content.systems}
    assert [name for name, system in systems.items() if system.main] == ["reinforced"]
    assert {"memory", "model", "reinforced"} <= set(systems)
    assert set(spelled.run.stages) >= {"codes", "lexicon", "identifiers", "backbone", "model", "reinforced"}
    codes = spelled.run.stage("codes").folder
    assert {path.name for path in codes.iterdir()} >= {"codes.parquet", "codebook.safetensors", "quantizer.png"}
    assert spelled.content.protocol["model"].startswith("causal")
    assert len(spelled.content.shoppers) == 3
    backbone = json.loads((spelled.run.stage("model").folder / "backbone" / "config.json").read_text())
    assert backbone["lexirec_dropout"] == 0.1, "pretraining took the dropout of a scratch model away"
    summary = (spelled.run.stage("model").folder / "summary.md").read_text()
    assert "examples of ts_align" in summary
    assert "SA-Init" in summary


def test_any_finished_run_has_content():
    _, done = small_run()
    content = content_of(done)
    assert content.title == "small"
    assert [row.level for row in content.census][:2] == [1, 2]
    assert content.protocol["split"] == "leave-last-out"
    assert "sample_users" in content.protocol

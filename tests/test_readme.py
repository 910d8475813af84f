"""The README's claims that can be run: its snippets, its tree, its settings."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pytest

from lexirec import cli
from lexirec.core.progress import quiet
from lexirec.data.toy import toy_shop
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.settings import GramSettings, GramTrainingSettings
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.settings import GrpoSettings, ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.pipeline.components import PublishedIdentifiers
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.semantic_ids.identifiers.schemes import (
    CodeIdentifiers,
    KeywordIdentifiers,
    LexicalIdentifiers,
    PermutedIdentifiers,
    TextIdentifiers,
)
from lexirec.workflows.scaffold import draft_experiment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["model.training.epochs=1", "baselines.sasrec.training.epochs=1", "codes.branching=4"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A folder as the reader has it: two CSV files, and nothing else."""
    folder = tmp_path_factory.mktemp("reader")
    made = toy_shop(items=100, shoppers=24)
    numbered = pa.array([f"A{number}" for number in range(1, 101)])
    items, events = made.items, made.interactions
    places = pc.index_in(events["item_id"], value_set=items["item_id"].combine_chunks())
    items = items.set_column(items.column_names.index("item_id"), "item_id", numbered)
    events = events.set_column(events.column_names.index("item_id"), "item_id", numbered.take(places.combine_chunks()))
    categories = items["categories"]
    if pa.types.is_list(categories.type):
        categories = pc.binary_join(categories, " > ")
    items = items.select(["item_id", "title", "brand"]).append_column("categories", categories)
    csv.write_csv(items, folder / "items.csv")
    csv.write_csv(events.select(["user_id", "item_id", "time"]), folder / "events.csv")
    return folder


def test_the_tables_shown_have_the_columns_that_are_read(shop):
    shown = [block.splitlines()[0] for block in blocks("csv")]
    assert shown == [",".join(csv.read_csv(shop / name).column_names) for name in ("items.csv", "events.csv")], (
        "the shop of these tests is not the one the README shows"
    )


def test_the_experiment_is_the_recipe_on_the_readers_tables(shop):
    (shop / "least.toml").write_text(blocks("toml")[0], encoding="utf-8")
    mine, recipe = load_experiment(shop / "least.toml"), load_experiment("lexirec:gram.toml")
    assert mine.model_copy(update={"data": recipe.data, "name": recipe.name}) == recipe
    assert len(blocks("toml")[0].splitlines()) == 6
    drafted = load_experiment(draft_experiment(shop / "items.csv", shop / "events.csv", shop / "drafted.toml").path)
    assert drafted.data == mine.data


def test_the_commands_run(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    lines = [shlex.split(line, comments=True) for line in "\n".join(blocks("sh")).splitlines()]
    commands = [line for line in lines if line]
    verbs = [command[1] for command in commands if command[0] == "lexirec"]
    assert verbs[:8] == ["init", "plan", "run", "show", "recommend", "recommend", "evaluate", "compare"]
    assert verbs[8:] == ["table", "audit", "analyze"]
    for command in commands:
        if command[0] != "lexirec":
            assert command[0] == "make"
            continue
        more = [f"--set={change}" for change in QUICK] if command[1] in ("plan", "run") else []
        with pytest.raises(SystemExit) as exit, quiet():
            cli.main(["-q", *command[1:], *more])
        assert exit.value.code == 0, command
        assert capsys.readouterr().out, command


def test_the_python_block_runs(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    fit = GramRecommender.fit
    once = GramTrainingSettings(epochs=1)
    monkeypatch.setattr(GramRecommender, "fit", lambda self, *a, **k: fit(self, *a, **k, training=once))
    with quiet():
        exec(compile(blocks("python")[0], "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "recall@10" in out
    assert (shop / "recommender" / "recommender.json").is_file()


def test_the_second_python_block_runs(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    fit, reinforce = TSRecRecommender.fit, TSRecRecommender.reinforce
    once, few = SftSettings(epochs=1), ReinforcementSettings(training=GrpoSettings(cases=16, evals_per_epoch=1))
    monkeypatch.setattr(TSRecRecommender, "fit", lambda self, *a, **k: fit(self, *a, **k, training=once))
    monkeypatch.setattr(TSRecRecommender, "reinforce", lambda self, *a, **k: reinforce(self, *a, few, **k))
    with quiet():
        exec(compile(blocks("python")[1], "README.md", "exec"), {})
    assert "recall@10" in capsys.readouterr().out


def test_the_tree_names_every_package_once():
    tree = next(block for block in blocks("text") if block.startswith("src/lexirec/"))
    named = re.findall(r"^[├└]── (\w+)/", tree, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in ROOT.glob("src/lexirec/*/__init__.py"))


def test_the_settings_table_names_every_table_and_known_kinds_only():
    rows = dict(re.findall(r"^\| `\[([a-z_]+)[^\]]*\]` \|(.*)\|$", README, re.MULTILINE))
    assert set(rows) == set(Experiment.model_fields) - {"name", "seed"}
    parts = re.findall(r"^\| `\[model\.([a-z_]+)\]`", README, re.MULTILINE)
    tables = {*GramSettings.model_fields, *TSRecSettings.model_fields} - {"seed", "kind", "token_spread"}
    assert set(parts) == tables
    kinds = (LexicalIdentifiers, KeywordIdentifiers, TextIdentifiers, CodeIdentifiers, PublishedIdentifiers)
    kinds += (PermutedIdentifiers,)
    listed = set(re.findall(r"`([a-z-]+)`", rows["identifiers"]))
    assert listed == {kind.model_fields["kind"].default for kind in kinds}

"""What the README and the guide claim and can be run or looked up: commands, code, figures, files, settings."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pytest

import lexirec
from lexirec import cli
from lexirec.core.progress import quiet
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.settings import GramSettings, GramTrainingSettings
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.settings import GrpoSettings, ReinforcementSettings, SftSettings, TSRecSettings
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.workflows.scaffold import draft_experiment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
GUIDE = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "guide").glob("*.md")}
QUICK = ["model.training.epochs=1", "baselines.sasrec.training.epochs=1", "codes.branching=4"]
ROWS = {
    "transitions": "transitions",
    "memory M2": "memory M2",
    "SASRec (cosine), default settings": "SASRec, cosine",
    "MiniOneRec's recipe": "plain (MiniOneRec)",
    "TS-Rec": "TS-Rec",
    "GRAM": "GRAM",
    "TS-Rec, rehearsed": "TS-Rec, rehearsed",
    "GRAM, rehearsed": "GRAM, rehearsed",
    "SASRec × memory": "SASRec × M2, a weight per case",
    "GRAM × memory": "GRAM × M2, a weight per case",
}
"""Rows of the README's table of results -> rows of docs/results.md."""


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


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


@pytest.fixture
def once(monkeypatch):
    """Train for one epoch and reinforce on a few cases, whatever the page says."""
    fit, spelled, reinforce = GramRecommender.fit, TSRecRecommender.fit, TSRecRecommender.reinforce
    gram, tsrec = GramTrainingSettings(epochs=1), SftSettings(epochs=1)
    few = ReinforcementSettings(training=GrpoSettings(cases=16, evals_per_epoch=1))
    monkeypatch.setattr(GramRecommender, "fit", lambda self, *a, **k: fit(self, *a, **k, training=gram))
    monkeypatch.setattr(TSRecRecommender, "fit", lambda self, *a, **k: spelled(self, *a, **k, training=tsrec))
    monkeypatch.setattr(TSRecRecommender, "reinforce", lambda self, *a, **k: reinforce(self, *a, few, **k))


# -------------------------------------------------------------------------------------------------- the front page


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 180


@pytest.mark.parametrize("page", ["README.md", *(f"docs/guide/{name}.md" for name in sorted(GUIDE))])
def test_links_lead_to_files(page):
    path = ROOT / page
    links = re.findall(r"\]\((?!https?://|(?:\.\./)*reference/)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_tables_shown_have_the_columns_that_are_read(shop):
    read = {name: ",".join(csv.read_csv(shop / name).column_names) for name in ("items.csv", "events.csv")}
    assert dict(re.findall(r"^\| `(\w+\.csv)` \| `([\w,]+)` \|", README, re.MULTILINE)) == read
    assert [block.splitlines()[0] for block in blocks("csv", GUIDE["python"])] == list(read.values())


def test_the_commands_run(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    lines = [shlex.split(line, comments=True) for line in "\n".join(blocks("sh")).splitlines()]
    commands = [line for line in lines if line and line[0] != "curl"]  # tests/test_serving_docs.py runs those
    verbs = [command[1] for command in commands if command[0] == "lexirec"]
    assert verbs[:8] == ["init", "plan", "run", "show", "recommend", "recommend", "evaluate", "compare"]
    assert verbs[8:] == ["table", "audit", "analyze", "export"]
    for command in commands:
        if command[0] != "lexirec":
            assert command[0] == "make"
            continue
        more = [f"--set={change}" for change in QUICK] if command[1] in ("plan", "run") else []
        with pytest.raises(SystemExit) as exit, quiet():
            cli.main(["-q", *command[1:], *more])
        assert exit.value.code == 0, command
        assert capsys.readouterr().out, command


@pytest.mark.usefixtures("once")
def test_the_quick_start_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lexirec, "toy_shop", lambda **_: toy_shop(items=100, shoppers=24))
    (block,) = blocks("python")
    with quiet():
        exec(compile(block, "README.md", "exec"), {})
    assert "recall@10" in capsys.readouterr().out
    assert (tmp_path / "recommender" / "recommender.json").is_file()


def test_the_results_are_those_of_the_tables():
    """Every cell of the README's table, and which of its figures are bold, is in docs/results.md."""
    sections = {part.partition("\n")[0]: part for part in RESULTS.split("\n## ")[1:]}
    head, *rows = re.findall(r"^\|(.*\\\|.*|.*2014.*)\|$", README, re.MULTILINE)
    titles = [next(t for t in sections if set(name.split()) <= set(t.split())) for name in head.split("|")[1:]]
    checked = 0
    for row in rows:
        name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        for title, cell in zip(titles, cells, strict=True):
            if (name, title) == ("TS-Rec", "Amazon Beauty 2014"):  # its seeds 1 and 2 stand below the table
                assert f"mean of the three {cell.split()[0]}" in sections[title]
                continue
            both = [] if cell == "–" else cell.split(r" \| ")
            assert both == _headline(sections[title], ROWS[name])[: len(both)], (name, title)
            checked += len(both)
    assert len(rows) == len(ROWS)
    assert checked == 2 * (4 * 10 - 6 - 1)


def _headline(section: str, row: str) -> list[str]:
    """R@10/N@10 of a row, seen items excluded and kept; bold where NDCG@10 is marked as above the memory."""
    found = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", section, re.MULTILINE)[:2]
    cells = [[cell.strip() for cell in line.split("|")][2:4] for line in found]
    return [f"{r.split()[0]}/{f'**{n.split()[0]}**' if '▲' in n else n.split()[0]}" for r, n in cells]


def test_every_figure_beside_the_table_is_in_the_results_or_the_log():
    pages = [*(ROOT / "docs").glob("log*.md"), *(ROOT / "docs" / "log").glob("*.md")]
    log = "".join(page.read_text(encoding="utf-8") for page in pages)
    section = README.split("## Results")[1].split("\n## ")[0]
    figures = set(re.findall(r"\.\d{3,4}", section))
    assert len(figures) > 60
    assert sorted(figure for figure in figures if figure not in RESULTS + log) == []


def test_the_models_are_where_the_readme_says():
    rows = re.findall(r"^\|[^|]*\|[^|]*\|([^|]*\.py`[^|]*)\|([^|]*)\|$", README, re.MULTILINE)
    assert len(rows) >= 9
    for files, classes in rows:
        pairs = zip(re.findall(r"`([\w/]+\.py)`", files), re.findall(r"`(\w+)`", classes), strict=False)
        for file, name in pairs:
            source = (ROOT / "src" / "lexirec" / "models" / file).read_text(encoding="utf-8")
            assert re.search(rf"^class {name}\b", source, re.MULTILINE), (file, name)


def test_the_tree_names_every_package_once():
    tree = next(block for block in blocks("text") if block.startswith("src/lexirec/"))
    named = re.findall(r"^[├└]── (\w+)/", tree, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in ROOT.glob("src/lexirec/*/__init__.py"))


# -------------------------------------------------------------------------------------------------------- the guide


@pytest.mark.usefixtures("once")
def test_the_python_of_the_guide_runs(shop, monkeypatch, capsys):
    """Its blocks follow each other in one session."""
    monkeypatch.chdir(shop)
    session: dict[str, object] = {}
    with quiet():
        for number, block in enumerate(blocks("python", GUIDE["python"])):
            exec(compile(block, f"docs/guide/python.md, block {number}", "exec"), session)
            assert ("recall@10" if "evaluate" in block else "A") in capsys.readouterr().out
    assert (shop / "recommender" / "recommender.json").is_file()


def test_the_experiment_is_the_recipe_on_the_readers_tables(shop):
    least = blocks("toml", GUIDE["experiments"])[0]
    (shop / "least.toml").write_text(least, encoding="utf-8")
    mine, recipe = load_experiment(shop / "least.toml"), load_experiment("lexirec:gram.toml")
    assert mine.model_copy(update={"data": recipe.data, "name": recipe.name}) == recipe
    assert len(least.splitlines()) == 6
    drafted = load_experiment(draft_experiment(shop / "items.csv", shop / "events.csv", shop / "drafted.toml").path)
    assert drafted.data == mine.data


def test_the_ensemble_of_the_guide_is_an_experiment(tmp_path):
    block = next(part for part in blocks("toml", GUIDE["experiments"]) if part.startswith("[ensemble]"))
    (tmp_path / "product.toml").write_text(f'extends = "lexirec:gram.toml"\n{block}', encoding="utf-8")
    (made,) = load_experiment(tmp_path / "product.toml").ensemble.values()
    assert (made.of, made.rule) == (("model", "memory"), "per-case")


def test_the_settings_table_names_every_table_and_known_kinds_only():
    page = GUIDE["experiments"]
    rows = dict(re.findall(r"^\| `\[([a-z_]+)[^\]]*\]` \|(.*)\|$", page, re.MULTILINE))
    assert set(rows) == set(Experiment.model_fields) - {"name", "seed"}
    parts = re.findall(r"^\| `\[model\.([a-z_]+)\]`", page, re.MULTILINE)
    tables = {*GramSettings.model_fields, *TSRecSettings.model_fields} - {"seed", "kind", "token_spread"}
    assert set(parts) == tables
    listed = set(re.findall(r"`([a-z-]+)`", rows["identifiers"]))
    assert listed == set(SCHEMES)

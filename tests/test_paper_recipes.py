"""Every recipe of a paper loads, plans, is costed, and runs to its report on a stand-in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.results import published_beside
from lexirec.pipeline.run import plan_experiment, run_experiment
from lexirec.workflows.costs.devices import DEVICES
from lexirec.workflows.costs.plan import plan_cost
from tests.worlds.paper_shop import save_backbone, write_beauty, write_industrial

FOLDER = Path(__file__).resolve().parents[1] / "experiments" / "papers"
FILES = sorted(FOLDER.glob("*.toml"))
STAND_INS = {"google-t5/t5-small": "t5", "huggyllama/llama-7b": "qwen2"}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Tables of both data sets and three tiny backbones."""
    root = tmp_path_factory.mktemp("papers")
    write_beauty(root)
    write_industrial(root)
    for kind in ("t5", "qwen2", "qwen3"):
        save_backbone(root / kind, kind)
    return root


def small(path: Path, world: Path, monkeypatch) -> Experiment:
    """Return a recipe with everything that costs time made small; the rest is the paper's."""
    monkeypatch.setenv("LEXIREC_DATA", str(world))
    whole = load_experiment(path)
    values = {
        "baselines": '{popularity = {kind = "popularity"}, memory = {kind = "memory"}}',
        "model.training.epochs": 1,
        "model.training.validation_users": 10,
        "model.training.validation_num_beams": 10,
        "model.search.num_beams": 10,
        "evaluation.sample_users": 20,
        "evaluation.ks": "[5, 10]",
    }
    if not whole.backbone.scratch:
        kind = "qwen3" if "Qwen3" in whole.backbone.name else STAND_INS.get(whole.backbone.name, "qwen2")
        values["backbone.name"] = str(world / kind)
    else:
        values |= {"backbone.d_model": 16, "backbone.layers": 1, "backbone.feed_forward": 16}
    if whole.vectors:
        values["vectors.text"] = '{kind = "lsa", dimensions = 16}'
    if whole.codes is not None and hasattr(whole.codes, "training"):
        values |= {"codes.training.epochs": 2, "codes.training.evaluate_every": 1, "codes.branching": 24}
        values["codes.hidden"] = "[12]"
    if whole.neighbors is not None and whole.neighbors.kind == "sasrec":
        values |= {"neighbors.sasrec.dimensions": 8, "neighbors.sasrec.training.epochs": 1}
    if whole.model.kind == "causal":
        values["model.training.gradient_accumulation_steps"] = 1
    if whole.reinforcement is not None:
        few = {"epochs": 1, "cases": 32, "evals_per_epoch": 1, "validation_users": 10, "validation_num_beams": 10}
        values |= {f"reinforcement.training.{name}": value for name, value in few.items()}
        values["reinforcement.training.gradient_accumulation_steps"] = 1
    return load_experiment(path, [f"{name}={value}" for name, value in values.items()])


def test_there_is_a_recipe_for_every_system_and_backbone():
    backbones = ("qwen2.5-0.5b", "qwen2.5-1.5b", "qwen3-0.6b")
    wanted = {f"industrial-{system}-{backbone}" for system in ("minionerec", "tsrec") for backbone in backbones}
    wanted |= {"beauty-gram", "beauty-gram-own"}
    wanted |= {f"{data}-{system}" for data in ("beauty", "industrial") for system in ("tiger", "lc-rec")}
    assert {path.stem for path in FILES} == wanted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_head_says_the_row_the_command_and_what_differs(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    head = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    assert f"lexirec run experiments/papers/{path.name}" in head
    assert "What differs" in head
    assert re.search(r"\.\d{4}/\.\d{4}", head), "no published figure such as .0890/.0531"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipes_load_and_stand_beside_a_published_row(path, monkeypatch):
    experiment = load_experiment(path)
    assert experiment.name == path.stem
    assert {"memory", "transitions", "sasrec"} <= set(experiment.baselines)
    assert experiment.evaluation.seen[0] == "included"
    network = experiment.model.network
    assert (network.likelihood, network.head) == ("vocabulary", "vocabulary")
    main = "model" if experiment.reinforcement is None else "reinforced"
    beside = [row for row in experiment.evaluation.published.values() if row.beside == main]
    assert beside
    assert any(row.unequal for row in beside)
    assert experiment.evaluation.unequal, "what the data at hand lack is said"


def test_recipes_are_what_their_papers_say():
    gram, own = (load_experiment(FOLDER / f"beauty-gram{more}.toml") for more in ("", "-own"))
    for each in (gram, own):
        prompts, training = each.model.prompts, each.model.training
        assert (prompts.layout, prompts.max_length, each.model.network.max_history) == ("paper", 128, 20)
        assert (each.model.search.num_beams, each.model.search.length_penalty) == (50, 1.0)
        assert (training.epochs, training.learning_rate, training.schedule) == (30, 1e-3, "linear")
        assert (training.batch_targets, training.packed) == (128, False)
    assert (gram.naming.kind, gram.neighbors.kind) == ("published", "published")
    assert (own.naming.kind, own.codes.branching, own.codes.levels, own.neighbors.kind) == ("lexical", 128, 7, "sasrec")
    mini, ts = (load_experiment(FOLDER / f"industrial-{name}-qwen2.5-1.5b.toml") for name in ("minionerec", "tsrec"))
    assert (mini.model.sa_init, mini.model.tasks.ts_align) == (None, 0)
    assert (ts.model.sa_init.pooling, ts.model.sa_init.norm, ts.model.tasks.ts_align) == ("joined", "vocabulary", 1)
    for each in (mini, ts):
        training, policy = each.model.training, each.reinforcement.training
        assert training.batch_size * training.gradient_accumulation_steps == 1024
        assert each.model.prompts.frame == "alpaca"
        assert policy.batch_size * policy.gradient_accumulation_steps == 64
        assert (policy.group, policy.beta, policy.epochs, policy.learning_rate) == (16, 1e-3, 2, 1e-5)
    tiger, lc_rec = (load_experiment(FOLDER / f"beauty-{name}.toml") for name in ("tiger", "lc-rec"))
    assert (tiger.backbone.name, tiger.codes.levels, tiger.codes.branching) == ("scratch:tiger", 3, 256)
    assert (lc_rec.backbone.name, lc_rec.codes.levels, lc_rec.pretraining) == ("huggyllama/llama-7b", 4, None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipes_are_costed_without_data_or_network(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIREC_DATA", str(tmp_path / "nowhere"))
    experiment = load_experiment(path)
    with pytest.raises(DataError, match=r"data\.items: file .* does not exist.*LEXIREC_DATA"):
        plan_experiment(experiment, Store(tmp_path))
    cost = plan_cost(experiment, Store(tmp_path))
    names = [phase.name for phase in cost.phases]
    assert names[0] == "training"
    assert ("reinforcement" in names) == (experiment.reinforcement is not None)
    assert all(phase.operations > 0 for phase in cost.phases)
    assert any("the data are not there" in note for note in cost.notes)
    assert cost.seconds(DEVICES["h200"]) <= cost.seconds(DEVICES["a6000"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipes_plan_on_tables_of_their_form(path, world, tmp_path, monkeypatch):
    stages = plan_experiment(small(path, world, monkeypatch), Store(tmp_path))
    assert {"data", "tokenizer", "identifiers", "model", "evaluation", "report"} <= {stage.group for stage in stages}


@pytest.mark.long
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recipes_run_to_their_report_on_a_stand_in(path, world, tmp_path, monkeypatch):
    experiment = small(path, world, monkeypatch)
    cost = plan_cost(experiment, Store(tmp_path))
    assert not any("the data are not there" in note for note in cost.notes)
    with quiet():
        done = run_experiment(experiment, Store(tmp_path))
    assert done is not None
    main = "model" if experiment.reinforcement is None else "reinforced"
    report = Report.load(done.stage(f"evaluation.{main}").folder / "included")
    assert (report.invalid, len(report.ranks) > 0) == (0, True)
    rows = [row for row in published_beside(done) if row.figures.beside == main]
    assert all(row.ours for row in rows)
    text = (done.stage("report").folder / "report.md").read_text(encoding="utf-8")
    assert "## Published figures" in text
    assert "Not equal, " in text
    assert "here" in text


@pytest.mark.data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_costs_in_the_heads_are_those_of_the_planner(path, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIREC_DATA", str(data_dir))
    hours, device = re.search(r"about ([\d.]+) h on an (A100|H200)", path.read_text("utf-8")).groups()
    memory = re.search(r"and (\d+) GiB of", path.read_text("utf-8"))[1]
    cost = plan_cost(load_experiment(path), Store(tmp_path))
    assert cost.seconds(DEVICES[device.lower()]) / 3600 == pytest.approx(float(hours), rel=0.1)
    assert cost.memory.total / 2**30 == pytest.approx(float(memory), rel=0.1, abs=1)


LAID_OVER = {
    "gram": ["model.network.user_prompt=identifiers", "model.prompts.layout=paper", "model.search.length_penalty=1.0"],
    "minionerec": ["model.network.embeddings=tokens", "model.prompts.frame=alpaca"],
}
"""The papers' settings as the guide to experiments gives them, beside likelihood and head."""


@pytest.mark.parametrize("recipe", LAID_OVER)
def test_the_papers_settings_can_be_laid_over_a_shipped_recipe(recipe):
    paper = ["model.network.likelihood=vocabulary", "model.network.head=vocabulary"]
    assert load_experiment(f"lexirec:{recipe}.toml", [*paper, *LAID_OVER[recipe]]).model.network.head == "vocabulary"
    with pytest.raises(SettingsError, match="as the paper has"):
        load_experiment(f"lexirec:{recipe}.toml", paper)

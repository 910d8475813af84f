"""The shipped studies load and plan on the toy shop, and one of them runs from its command to its report."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lexirec import cli
from lexirec.core.errors import DataError
from lexirec.core.store import Store
from lexirec.pipeline.components import Tables
from lexirec.workflows.studies.design import load_study
from lexirec.workflows.studies.plan import plan_study

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "experiments" / "studies"
FILES = sorted(FOLDER.glob("*.toml"))
TOY = ROOT / "experiments" / "toy-gram.toml"
SMALLEST = [
    "data.kind=toy-shop",
    "data.products=100",
    "data.shoppers=60",
    "vectors.text.dimensions=8",
    "backbone.d_model=16",
    "backbone.feed_forward=32",
    "backbone.vocabulary_size=400",
    "codes.branching=4",
    "model.training.epochs=1",
    "model.training.evals_per_epoch=2",
    "evaluation.sample_users=30",
    "evaluation.ks=[5,10]",
]


FROM_SCRATCH = [
    "set=[]",
    "backbone.name=scratch:tiny",
    "codes.kind=residual-kmeans",
    "codes.levels=3",
    "lexicon.kind=contrastive",
]
"""What a study of a pretrained model with published codes needs on the toy shop."""


def on_the_toy_shop(path: Path) -> list[str]:
    """What puts a shipped study on the smallest toy shop."""
    data = [f'data=["{TOY}"]'] if path.stem == "cross-domain" else []
    if path.stem == "pretrained-encoder":  # one of its variants has other vectors, which have no such setting
        return ["seeds=[0,1]", *(each for each in SMALLEST if not each.startswith("vectors."))]
    if path.stem in ("pretrained-ways", "pretrained-controls"):
        return ["seeds=[0,1]", *FROM_SCRATCH, *SMALLEST]
    return ["seeds=[0,1]", *data, *SMALLEST]


def test_what_was_asked_for_is_shipped():
    wanted = {"gram-ablation", "id-types", "granularity", "encoding", "tsrec", "popularity-split", "cross-domain"}
    later = {"efficiency", "pictures", "pretrained-encoder", "pretrained-ways", "pretrained-controls"}
    assert {path.stem for path in FILES} == {*wanted, *later, "gram-bridge", "gram-paper-parts"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_load_and_plan_on_the_toy_shop(path, tmp_path):
    study = load_study(path, on_the_toy_shop(path))
    plan = plan_study(study, Store(tmp_path))
    assert len(study.runs) == 2 * len(study.rows)
    assert len({run.experiment.name for run in study.runs}) == len(study.rows)
    kinds = {stage.stage.kind for stage in plan.stages.values()}
    assert {"data", "identifiers", "model", "evaluation"} <= kinds
    assert set(study.settings.measures) <= kinds
    assert plan.existing == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_as_shipped_they_load_or_say_where_data_belong(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LEXIREC_DATA", str(tmp_path / "nowhere"))
    if path.stem == "cross-domain":
        with pytest.raises(DataError, match="holds no table of items"):
            load_study(path)
        return
    study = load_study(path)
    assert study.settings.name == path.stem
    assert study.settings.about
    if isinstance(study.runs[0].experiment.data, Tables):
        with pytest.raises(DataError, match=r"LEXIREC_DATA"):
            plan_study(study, Store(tmp_path))


def test_variants_differ_from_each_other(tmp_path):
    """No variant of a shipped study is another one by mistake: each makes a recommender or evaluation of its own."""
    for path in FILES:
        study = load_study(path, on_the_toy_shop(path))
        plan = plan_study(study, Store(tmp_path))
        last = {name: steps["evaluation.model"].key for name, steps in plan.by_run.items()}
        assert len(set(last.values())) == len(last), path.stem


def test_the_study_of_the_guide_loads(tmp_path):
    guide = (ROOT / "docs" / "guide" / "experiments.md").read_text(encoding="utf-8")
    block = next(part for part in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL) if "[axes" in part)
    (tmp_path / "mine.toml").write_text(f'extends = "{TOY}"\n')
    (tmp_path / "study.toml").write_text(block)
    assert len(load_study(tmp_path / "study.toml").runs) == 6


@pytest.mark.long
def test_the_command_plans_runs_and_reports(tmp_path, capsys, monkeypatch):
    """From end to end: GRAM's item prompts on the smallest shop, two seeds, one epoch."""
    monkeypatch.chdir(tmp_path)
    path = FOLDER / "granularity.toml"
    prompts = 'axes.prompts={title="item prompts", setting="model.network.item_prompts", values=[1, 2]}'
    changes = ["axes={}", prompts, 'measures=["meaning"]', 'groups=["popularity"]', *on_the_toy_shop(path)]
    arguments = [
        "-q",
        "study",
        str(path),
        *(f"--set={change}" for change in changes),
        "--store",
        "store",
        "--out",
        "out",
    ]

    def call(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit:
            cli.main([*arguments, *more])
        return int(exit.value.code or 0), capsys.readouterr().out

    code, out = call("--plan")
    assert code == 0
    assert "4 runs" in out
    assert not (tmp_path / "store").exists()
    code, out = call()
    assert code == 0, out
    assert "item prompts 2" in out
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for word in (
        "Identifiers and neighbours beside categories",
        "Learning curves",
        "steps to 90 % of the reference",
        "Metrics by groups of cases",
        "item_prompts=2",
        "weights",
    ):
        assert word in text
    drawn = {picture.stem for picture in (tmp_path / "out").glob("*.png")}
    assert {"rows", "by-prompts", "learning", "cost", "meaning-identifiers", "meaning-neighbors"} <= drawn
    table = pq.read_table(tmp_path / "out" / "runs.parquet")
    assert set(table["axis.prompts"].to_pylist()) == {1.0, 2.0}
    assert set(table["kind"].to_pylist()) == {"accuracy", "meaning", "stage"}
    assert all(weights > 0 for weights in table["parameters"].to_pylist() if weights is not None)

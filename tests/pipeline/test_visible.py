"""Stages that learn are made from the training part: other held-out events change nothing that they make."""

import ast
from pathlib import Path

import pytest

from lexirec.core.runs import Stage
from lexirec.pipeline.graph import VERSIONS
from lexirec.pipeline.runner import Call
from lexirec.pipeline.visible import MEASURES, PARTS, SEES, visible
from lexirec.workflows.transfer.run import VERSIONS as OF_TRANSFERS
from tests.worlds.learning_stages import EXPERIMENTS, differences, made_again, stages_of, without_held_out

SOURCE = Path(__file__).resolve().parents[2] / "src" / "lexirec"
LEARNING = (
    "pipeline/stages/baselines.py",
    "pipeline/stages/fusion.py",
    "pipeline/stages/identifiers.py",
    "pipeline/stages/models.py",
    "workflows/transfer/stages.py",
)
"""Modules whose stages learn."""
CHOOSES = ("codes.sasrec", "reinforced")
"""Stages that choose among several epochs: another order of the validation cases must not change them."""


def learning(name: str) -> dict[str, Call]:
    """Return an experiment's stages that read more of the data than the catalogue, by name."""
    kinds = [kind for kind, parts in SEES.items() if set(parts) > {"catalog"}]
    return {made.stage.name: made for made in stages_of(name) if made.stage.kind in kinds}


def folder_of_data(name: str) -> Path:
    return next(made.stage.folder for made in stages_of(name) if made.stage.kind == "data")


@pytest.mark.long
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_other_held_out_events_change_nothing_that_was_learned(name, tmp_path):
    other = without_held_out(folder_of_data(name), tmp_path / "other")
    stages = {stage: made for stage, made in learning(name).items() if stage not in CHOOSES}
    assert stages
    changed = {
        stage: differences(made.stage.folder, made_again(made, other, tmp_path / stage))
        for stage, made in stages.items()
    }
    assert {stage: files for stage, files in changed.items() if files} == {}


@pytest.mark.parametrize("name", ["sasrec", "tsrec"])
def test_where_validation_cases_choose_their_order_changes_nothing(name, tmp_path):
    shuffled = without_held_out(folder_of_data(name), tmp_path / "shuffled", validation="shuffled")
    stages = {stage: made for stage, made in learning(name).items() if stage in CHOOSES}
    assert stages
    for stage, made in stages.items():
        assert differences(made.stage.folder, made_again(made, shuffled, tmp_path / stage)) == []


def test_other_training_rows_do_change_it(tmp_path):
    """The comparison above can fail: a part that learned from other rows differs."""
    made = learning("counted")
    other = without_held_out(folder_of_data("counted"), tmp_path / "other")
    rows = other / "split" / "train" / "items.npy"
    rows.write_bytes((folder_of_data("counted") / "split" / "validation" / "items.npy").read_bytes())
    offsets = folder_of_data("counted") / "split" / "validation" / "offsets.npy"
    (other / "split" / "train" / "offsets.npy").write_bytes(offsets.read_bytes())
    for stage in ("baselines.item-knn", "neighbors", "vectors.bought"):
        assert differences(made[stage].stage.folder, made_again(made[stage], other, tmp_path / stage)), stage


def test_all_kinds_that_learn_are_made_again():
    made = {each.stage.kind for name in EXPERIMENTS for each in learning(name).values()}
    reads = {kind for kind in VERSIONS if set(SEES.get(kind, ("catalog", "train"))) > {"catalog"}}
    assert reads - MEASURES - {"data"} == made


def test_every_kind_of_stage_says_what_it_reads():
    assert set(SEES) | MEASURES >= set(OF_TRANSFERS) - {"data"}
    assert not set(SEES) & MEASURES
    assert not any("test" in path.parts for path in PARTS.values())


def test_only_stages_that_measure_get_the_whole_data(tmp_path):
    data = Stage("data", "data", "k", tmp_path, "done")
    near = Stage("neighbors", "neighbors", "n", tmp_path / "near", "done")
    inputs = {"data": data, "first": data, "neighbors": near}
    assert visible("evaluation", inputs) == {"data": tmp_path, "first": tmp_path, "neighbors": near.folder}
    of_vectors = {"pictures": tmp_path / "pictures", "first.pictures": tmp_path / "pictures"}
    of_neighbors = {
        "catalog": tmp_path / "catalog",
        "train": tmp_path / "split" / "train",
        "first.catalog": tmp_path / "catalog",
        "first.train": tmp_path / "split" / "train",
        "neighbors": near.folder,
    }
    assert visible("neighbors", inputs) == of_neighbors
    assert visible("vectors", inputs) == of_neighbors | of_vectors
    assert set(visible("of tomorrow", {"data": data})) == {"catalog", "train"}
    assert "validation" not in visible("neighbors", {"data": data})
    assert set(visible("model", {"data": data})) == set(PARTS) - {"pictures"}


@pytest.mark.parametrize("module", LEARNING)
def test_modules_of_learning_stages_know_no_test_cases(module):
    tree = ast.parse((SOURCE / module).read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not names & {"Split", "load_split", "split_data", "test", "parent", "parents"}
    assert not words & {"data", "test", "split"}

import shlex

import pytest

from lexirec.core.config import as_toml
from lexirec.core.errors import DataError, SettingsError
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.pipeline.experiment import load_experiment
from lexirec.workflows.studies.design import load_study
from lexirec.workflows.studies.settings import data_overrides
from tests.worlds.small_study import STUDY, small_study, write_study

LABELS = ["reference", "window 2", "window 9", "without text"]


def test_one_at_a_time_leaves_the_other_axes_as_in_the_reference(tmp_path):
    study = small_study(tmp_path)
    assert [row.label for row in study.rows] == LABELS
    assert [row.reference for row in study.rows] == [True, False, False, False]
    assert study.rows[3].chosen == {"window": "5", "evidence": "without text"}
    memory = [run.experiment.baselines["memory"] for run in study.runs]
    assert [(one.window, one.evidence) for one in memory[::2]] == [(5, "text"), (2, "text"), (9, "text"), (5, "none")]
    assert [run.seed for run in study.runs] == [0, 1] * 4
    assert [run.experiment.seed for run in study.runs] == [0, 1] * 4


def test_crossed_is_every_combination_with_the_reference_first(tmp_path):
    study = small_study(tmp_path, "design=crossed", "axes.window.reference=2")
    assert len({row.label for row in study.rows}) == 6
    assert study.rows[0].chosen == {"window": "2", "evidence": "with text"}
    assert study.rows[-1].label == "window 9, without text"


def test_baselines_stand_once_beside_the_reference(tmp_path):
    study = small_study(tmp_path)
    assert [run.baselines for run in study.runs] == [("popularity",), *[()] * 7]
    assert [set(run.experiment.baselines) for run in study.runs[:2]] == [{"memory", "popularity"}, {"memory"}]
    assert all(run.experiment.codes is None for run in study.runs), "a baseline needs no codes"


def test_experiments_have_names_of_their_own_and_commands_that_make_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = small_study(tmp_path, "data.products=60")
    assert len({run.experiment.name for run in study.runs}) == 4
    words = shlex.split(study.runs[2].command)
    assert words[:3] == ["lexirec", "run", "small.toml"]
    again = load_experiment(words[2], [word for flag, word in zip(words[3::2], words[4::2]) if flag == "--set"])
    assert again.model_copy(update={"codes": None, "baselines": study.runs[2].experiment.baselines}) == study.runs[
        2
    ].experiment.model_copy(update={"codes": None})
    assert again.data.products == 60


def test_one_axis_is_called_by_its_variants_and_none_by_the_recommender(tmp_path):
    one = STUDY[: STUDY.index("[axes.window]")] + '[axes.kind.variants]\n"as it is" = []\n"other" = ["seed=4"]\n'
    assert [row.label for row in load_study(write_study(tmp_path, one)).rows] == ["as it is", "other"]
    none = STUDY[: STUDY.index("[axes.window]")]
    assert [row.label for row in load_study(write_study(tmp_path, none)).rows] == ["memory"]


def test_mistakes_in_a_variant_name_study_row_and_setting(tmp_path):
    wrong = STUDY.replace("evidence=none", "evidnce=none")
    with pytest.raises(SettingsError, match=r"windows.toml: 'without text': .*evidnce.* Did you mean .*evidence"):
        load_study(write_study(tmp_path, wrong))
    for setting, given in (("recommender", "memroy"), ("baselines", '["popularty"]')):
        with pytest.raises(SettingsError, match=f"'{setting}' names '.*small.toml allows .*Did you mean"):
            small_study(tmp_path, f"{setting}={given}")


def test_metrics_beyond_the_lists_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="names ndcg@20, but the lists of 'reference' hold 10 items; use @10"):
        small_study(tmp_path, 'metrics=["ndcg@20"]')


def test_other_data_are_folders_or_experiments(tmp_path):
    toy_shop(items=84, shoppers=60).write(tmp_path / "shop")
    (tmp_path / "other.toml").write_text('[data]\nkind = "toy-shop"\nproducts = 120\n')
    study = small_study(tmp_path, f'data=["{tmp_path}/shop", "{tmp_path}/other.toml"]', "data.max_history=7")
    assert study.data == ["shop", "other"]
    folder, experiment = study.runs[0].experiment.data, study.runs[-1].experiment.data
    assert folder.kind == "tables"
    assert folder.text == ("title", "brand", "categories", "description")
    assert (experiment.kind, experiment.products) == ("toy-shop", 120)
    assert folder.max_history == experiment.max_history == 7, "what holds for all runs holds on other data, too"
    assert sum(bool(run.baselines) for run in study.runs) == 2, "baselines once for each data set"
    assert study.rows[0].name == "shop: reference"


def test_a_folder_takes_the_recipe_but_not_the_people(tmp_path):
    for name in ("shop", "other"):
        toy_shop(items=84, shoppers=60).write(tmp_path / name)
    (tmp_path / "users.csv").write_text("user_id,preference\nu1,tools\n")
    base = {
        "kind": "tables",
        "items": str(tmp_path / "shop" / "items.parquet"),
        "interactions": str(tmp_path / "shop" / "interactions.parquet"),
        "users": str(tmp_path / "users.csv"),
        "user_columns": {"preference": "preference"},
        "text": ["title", "colour"],
        "split": {"kind": "leave-last-out"},
        "max_history": 9,
    }
    (tmp_path / "tables.toml").write_text(f"data = {as_toml(base)}\n")
    before = load_experiment(tmp_path / "tables.toml")
    data = load_experiment(tmp_path / "tables.toml", data_overrides(tmp_path / "other", before.data)).data
    assert data.items == tmp_path / "other" / "items.parquet"
    assert (data.text, data.max_history, data.split.kind) == (("title",), 9, "leave-last-out")
    assert (data.users, data.user_columns) == (None, {})


def test_data_that_are_not_there_are_reported(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no table of items"):
        small_study(tmp_path, f'data=["{tmp_path}/empty"]')
    with pytest.raises(SettingsError, match="'data' names empty twice"):
        small_study(tmp_path, f'data=["{tmp_path}/empty", "{tmp_path}/x/empty"]')

import pytest

from lexirec.core.errors import SettingsError
from lexirec.workflows.studies.settings import Axis, load_study_file
from tests.worlds.small_study import STUDY, write_study


def test_a_file_is_read_and_named(tmp_path):
    file = load_study_file(write_study(tmp_path))
    assert file.settings.name == "windows"
    assert file.settings.base == tmp_path / "small.toml"
    assert file.settings.axes["window"].numbers == {"5": 5.0, "2": 2.0, "9": 9.0}
    assert file.settings.axes["evidence"].numbers is None


def test_overrides_go_where_they_belong(tmp_path):
    given = ["seeds=[3]", "axes.window.reference=2", "data.products=50", "baselines.memory.window=4", "data=[]"]
    file = load_study_file(write_study(tmp_path), given)
    assert file.settings.seeds == (3,)
    assert file.settings.axes["window"].compared_with == "2"
    assert file.overrides == ("data.products=50", "baselines.memory.window=4")


WRONG = {
    "metrics": ('metrics = ["ndgc@10"]', r"windows.toml: 'metrics'.*'ndgc@10' should be such as|Did you mean 'ndcg'"),
    "metric without place": ('metrics = ["ndcg"]', r"should be such as ndcg@10"),
    "no seeds": ("seeds = []", "should hold one value at least"),
    "twice": ("seeds = [1, 1]", "should hold each value once"),
    "unknown": ("sedes = [1]", "there is no setting 'sedes'. Did you mean 'seeds'"),
    "no override": ('set = ["epochs"]', r"'epochs' should be an override such as"),
    "measures": ('measures = ["costs"]', r"'measures"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_reported_in_one_line(tmp_path, case):
    line, message = WRONG[case]
    with pytest.raises(SettingsError, match=message) as raised:
        load_study_file(write_study(tmp_path, f'base = "small.toml"\n{line}\n'))
    assert "\n" not in str(raised.value)


AXES = {
    "neither": ("", "either 'variants'"),
    "both": ('setting = "seed"\nvalues = [1]\nvariants = {a = []}', "either 'variants'"),
    "no values": ('setting = "seed"', "belong together"),
    "equal values": ('setting = "seed"\nvalues = [1, 1]', "each value once"),
    "reference": ('reference = "b"\nvariants = {a = []}', "'reference' is 'b'; it should be one of a"),
    "override": ('variants = {a = ["model"]}', "'model' should be an override"),
}


@pytest.mark.parametrize("case", AXES)
def test_mistakes_in_axes_are_reported(tmp_path, case):
    line, message = AXES[case]
    with pytest.raises(SettingsError, match=message):
        load_study_file(write_study(tmp_path, f'base = "small.toml"\n[axes.one]\n{line}\n'))


def test_labels_of_values_are_what_toml_writes():
    axis = Axis(setting="a.b", values=(True, 3, 0.5, "x"))
    assert axis.labelled == {"true": ("a.b=true",), "3": ("a.b=3",), "0.5": ("a.b=0.5",), "x": ("a.b=x",)}
    assert axis.compared_with == "true"
    assert axis.numbers is None


def test_studies_extend_each_other(tmp_path):
    write_study(tmp_path)
    (tmp_path / "more.toml").write_text('extends = "windows.toml"\nseeds = [7]\n')
    file = load_study_file(tmp_path / "more.toml")
    assert file.settings.name == "more"
    assert file.settings.seeds == (7,)
    assert set(file.settings.axes) == {"window", "evidence"}
    assert "about" in STUDY
    assert file.settings.about

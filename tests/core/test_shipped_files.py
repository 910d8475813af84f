import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.shipped_files import given_file, shipped
from lexirec.pipeline.experiment import load_experiment


def test_shipped_files_have_a_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert given_file("lexirec:studies/tsrec.toml") == shipped("studies/tsrec.toml")
    assert given_file("mine.toml").parts == ("mine.toml",)
    assert load_experiment("lexirec:toy-gram.toml").name == "toy-gram"


def test_an_experiment_anywhere_extends_a_shipped_one(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = ["lexirec:toy-gram.toml"]\nseed = 7\n')
    found = load_experiment(tmp_path / "mine.toml")
    assert (found.name, found.seed, found.codes.branching) == ("mine", 7, 16)


def test_an_unknown_one_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"lexirec:toy-gramm.toml: lexirec ships no such file; .*'toy-gram.toml'"):
        load_experiment("lexirec:toy-gramm.toml")

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from lexirec.core.config import (
    DataPath,
    Settings,
    as_toml,
    expand_path,
    load_settings,
    usual_kind,
    validate_settings,
    written_in,
)
from lexirec.core.errors import SettingsError


class Tree(Settings):
    kind: Literal["hierarchical-kmeans"] = "hierarchical-kmeans"
    branching: int = Field(default=8, gt=1)
    """Clusters per split."""


class Published(Settings):
    kind: Literal["published"] = "published"
    path: DataPath
    """File with an identifier per item."""


class Train(Settings):
    learning_rate: float = 1e-3
    epochs: int = 3

    @field_validator("epochs")
    @classmethod
    def _positive(cls, value: int) -> int:
        if value < 1:
            raise ValueError(f"is {value}; it should be at least 1")
        return value


class Files(Settings):
    kind: Literal["files"] = "files"
    items: str
    k_core: int = 0


class Toy(Settings):
    kind: Literal["toy"] = "toy"
    products: int = 10


CodesUnion = Annotated[Tree | Published, Field(discriminator="kind")]


class Sample(Settings):
    data: Annotated[Files | Toy, Field(discriminator="kind"), usual_kind("files")] = Toy()
    named: dict[str, CodesUnion] = Field(default_factory=dict)
    name: str = ""
    split: Literal["last", "time"] = "last"
    codes: CodesUnion = Tree()
    several: tuple[CodesUnion, ...] = ()
    train: Train = Train()
    extra: Train | None = None


def write(folder: Path, text: str, name: str = "beauty.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *overrides: str) -> Sample:
    return load_settings(write(folder, text), Sample, overrides)


def message(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, text, *overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_values_and_keeps_defaults(tmp_path):
    sample = load(tmp_path, "[train]\nepochs = 5\n[codes]\nkind = 'hierarchical-kmeans'\nbranching = 32")
    assert (sample.train.epochs, sample.train.learning_rate, sample.codes) == (5, 1e-3, Tree(branching=32))


def test_settings_are_frozen(tmp_path):
    with pytest.raises(ValidationError):
        load(tmp_path, "").name = "other"


def test_attribute_docstrings_are_descriptions():
    assert Tree.model_fields["branching"].description == "Clusters per split."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[train]\nlearning_rte = 1",
            "beauty.toml: there is no setting 'train.learning_rte'. Did you mean 'train.learning_rate'?",
        ),
        ("learning_rate = 1", "beauty.toml: there is no setting 'learning_rate'. Did you mean 'train.learning_rate'?"),
        (
            "[extra]\nzzz = 1",
            "beauty.toml: there is no setting 'extra.zzz'. Allowed here: learning_rate, epochs",
        ),
        ("[train]\nepochs = 'ten'", "beauty.toml: 'train.epochs' is \"ten\"; it should be a valid integer"),
        ("[train]\nepochs = 0", "beauty.toml: 'train.epochs' is 0; it should be at least 1"),
        ("split = 'first'", "beauty.toml: 'split' is \"first\"; it should be 'last' or 'time'"),
        ("train = 3", "beauty.toml: 'train' is 3; it should be a table of settings"),
        ("name = [1]", "beauty.toml: 'name' is a list; it should be a valid string"),
        (
            "[codes]\nkind = 'publishd'",
            "beauty.toml: 'codes.kind' is 'publishd'; allowed: 'hierarchical-kmeans', 'published'."
            " Did you mean 'published'?",
        ),
        ("[codes]\nbranching = 3", "beauty.toml: 'codes.kind' is missing; allowed: 'hierarchical-kmeans', 'published'"),
        ("[codes]\nkind = 'published'", "beauty.toml: 'codes.path' is missing: File with an identifier per item."),
        (
            "[codes]\nkind = 'hierarchical-kmeans'\nbranching = 1",
            "beauty.toml: 'codes.branching' is 1; it should be greater than 1",
        ),
        (
            "[[several]]\nkind = 'hierarchical-kmeans'\n[[several]]\nkind = 'hierarchical-kmeans'\nbranchng = 1",
            "beauty.toml: there is no setting 'several.1.branchng'. Did you mean 'several.1.branching'?",
        ),
        ("name = ", "beauty.toml: not valid TOML: invalid value"),
        ("extends = 3", "beauty.toml: 'extends' is 3; it should be the name of a TOML file"),
        ("[train]\nepochs = 'x'\nlearning_rate = 'y'", "(1 more like this)"),
    ],
)
def test_says_in_one_line_what_is_wrong(tmp_path, text, expected):
    assert expected in message(tmp_path, text)


def test_a_union_may_have_a_usual_kind(tmp_path):
    assert load(tmp_path, "[data]\nitems = 'x'").data == Files(items="x")
    assert load(tmp_path, "[data]\nkind = 'toy'").data == Toy()
    assert "there is no setting 'data.item'. Did you mean 'data.items'?" in message(tmp_path, "[data]\nitem = 'x'")
    assert "'data.k_core' is \"x\"" in message(tmp_path, "[data]\nitems = 'x'\nk_core = 'x'")


def test_named_tables_are_checked_too(tmp_path):
    assert "no setting 'named.first.branch'. Did you mean 'named.first.branching'?" in message(
        tmp_path, "[named.first]\nkind = 'hierarchical-kmeans'\nbranch = 3"
    )


def test_missing_file_suggests_a_neighbor(tmp_path):
    write(tmp_path, "", "beauty.toml")
    with pytest.raises(SettingsError, match=r"no settings file .*beaut\.toml\. Did you mean 'beauty\.toml'"):
        load_settings(tmp_path / "beaut.toml", Sample)


def test_refuses_text_that_is_not_utf8(tmp_path):
    (tmp_path / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"latin\.toml: byte 8 is not UTF-8"):
        load_settings(tmp_path / "latin.toml", Sample)


def test_extends_merges_deeply(tmp_path):
    write(tmp_path, "name = 'base'\n[train]\nepochs = 7\nlearning_rate = 0.5", "base.toml")
    sample = load(tmp_path, "extends = 'base.toml'\n[train]\nepochs = 9")
    assert (sample.name, sample.train.epochs, sample.train.learning_rate) == ("base", 9, 0.5)


def test_a_table_whose_kind_changes_starts_afresh(tmp_path):
    write(tmp_path, "[codes]\nkind = 'hierarchical-kmeans'\nbranching = 32", "base.toml")
    sample = load(tmp_path, "extends = 'base.toml'\n[codes]\nkind = 'published'\npath = 'ids.parquet'")
    assert sample.codes == Published(path=tmp_path / "ids.parquet")


def test_an_empty_table_empties_what_was_there(tmp_path):
    write(tmp_path, "[named.a]\nkind = 'hierarchical-kmeans'\n[train]\nepochs = 7", "base.toml")
    assert load(tmp_path, "extends = 'base.toml'\n[named]").named == {}
    sample = load(tmp_path, "extends = 'base.toml'", "named={}", "train={}")
    assert (sample.named, sample.train.epochs) == ({}, 3)


def test_extends_names_the_file_an_error_is_in(tmp_path):
    write(tmp_path, "[train]\nepoch = 7", "base.toml")
    assert message(tmp_path, "extends = 'base.toml'").startswith("base.toml: there is no setting 'train.epoch'")


def test_of_several_files_each_is_laid_over_those_before(tmp_path):
    write(tmp_path, "[train]\nepochs = 3\n[codes]\nkind = 'published'\npath = 'ids.parquet'", "recipe.toml")
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "[train]\nepochs = 5\n[codes]\npath = 'own.parquet'", "office.toml")
    sample = load(tmp_path, "extends = ['recipe.toml', 'data/office.toml']")
    assert (sample.train.epochs, sample.codes.path) == (5, tmp_path / "data" / "own.parquet")
    sample = load(tmp_path, "extends = ['data/office.toml', 'recipe.toml']")
    assert (sample.train.epochs, sample.codes.path) == (3, tmp_path / "ids.parquet")
    write(tmp_path / "data", "[train]\nepoch = 5", "office.toml")
    assert message(tmp_path, "extends = ['recipe.toml', 'data/office.toml']").startswith("office.toml: there is no")


def test_extends_in_a_circle_is_an_error(tmp_path):
    write(tmp_path, "extends = 'beauty.toml'", "base.toml")
    assert "circle (beauty.toml -> base.toml -> beauty.toml)" in message(tmp_path, "extends = 'base.toml'")


def test_extends_names_the_missing_file(tmp_path):
    assert message(tmp_path, "extends = 'gone.toml'").startswith("beauty.toml: extends ")


def test_overrides_are_toml_values_or_text(tmp_path):
    sample = load(
        tmp_path, "[train]\nepochs = 2", "train.epochs=5", "train.learning_rate=1e-4", "name=plain text", "split='time'"
    )
    assert (sample.train.epochs, sample.train.learning_rate) == (5, 1e-4)
    assert (sample.name, sample.split) == ("plain text", "time")


def test_overrides_reach_into_lists_and_change_kinds(tmp_path):
    text = "[codes]\nkind = 'hierarchical-kmeans'\nbranching = 4\n[[several]]\nkind = 'hierarchical-kmeans'"
    sample = load(tmp_path, text, "several.0.branching=16", "codes.kind=published", "codes.path=/data/ids")
    assert sample.several == (Tree(branching=16),)
    assert sample.codes == Published(path=Path("/data/ids"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epoch=3", "--set train.epoch=3: there is no setting 'train.epoch'. Did you mean 'train.epochs'?"),
        ("train.epochs=many", "--set train.epochs=many: 'train.epochs' is \"many\"; it should be a valid integer"),
        ("train.epochs", "--set train.epochs: write it as name=value, for example --set seed=1"),
        ("train..epochs=1", "write it as name=value"),
        ("several.1.branching=3", "'several.1' is no entry of a list of 1; entries count from 0"),
        ("name.first=3", "'name' is \"x\", not a table of settings"),
    ],
)
def test_wrong_overrides_name_themselves(tmp_path, override, expected):
    assert expected in message(tmp_path, "name = 'x'\n[[several]]\nkind = 'hierarchical-kmeans'", override)


def test_paths_are_relative_to_the_file_that_holds_them(tmp_path):
    write(tmp_path, "[codes]\nkind = 'published'\npath = '../ids.parquet'", "shared/base.toml")
    sample = load(tmp_path, "extends = 'shared/base.toml'")
    assert sample.codes == Published(path=tmp_path / "ids.parquet")


def test_paths_expand_variables_defaults_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLE_DATA", "/somewhere")
    monkeypatch.delenv("SAMPLE_NONE", raising=False)
    assert expand_path("$SAMPLE_DATA/x", tmp_path) == Path("/somewhere/x")
    assert expand_path("${SAMPLE_NONE:-../fallback}/x", tmp_path / "a") == tmp_path / "fallback" / "x"
    assert expand_path("~/x") == Path.home() / "x"


def test_an_unset_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SAMPLE_NONE", raising=False)
    text = "[codes]\nkind = 'published'\npath = '${SAMPLE_NONE}/ids'"
    assert "'codes.path' uses the environment variable SAMPLE_NONE, which is not set" in message(tmp_path, text)


def test_validate_settings_checks_plain_values():
    assert validate_settings({"epochs": 2}, Train) == Train(epochs=2)
    with pytest.raises(SettingsError, match=r"settings: there is no setting 'epoch'\. Did you mean 'epochs'"):
        validate_settings({"epoch": 2}, Train)


def test_overrides_may_have_a_folder_of_their_own(tmp_path):
    class Part(Settings):
        path: DataPath

    class Whole(Settings):
        part: Part

    (tmp_path / "a.toml").write_text('[part]\npath = "here.csv"\n')
    plain = load_settings(tmp_path / "a.toml", Whole, ["part.path=../x.csv"])
    placed = load_settings(tmp_path / "a.toml", Whole, [written_in(tmp_path / "inner", "part.path=../x.csv")])
    assert plain.part.path == Path("../x.csv")
    assert placed.part.path == tmp_path / "x.csv"


def test_plain_values_are_written_as_toml():
    given = {"a": [1, 'x"y'], "b": {"c d": True, "e": 0.5, "f": 1e-05}}
    assert tomllib.loads(f"value = {as_toml(given)}")["value"] == given

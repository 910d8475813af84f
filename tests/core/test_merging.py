import logging
from typing import Annotated, Literal

import pytest
from pydantic import ConfigDict, Field

from lexirec.core.config import Settings, load_settings, override_settings
from lexirec.core.errors import SettingsError
from lexirec.core.merging import Place, said_once, usual_kind


class Inner(Settings):
    epochs: int = 1
    width: int = 2


class OtherInner(Settings):
    epochs: int = 5
    depth: Literal["deep", "flat"] = "flat"


class Tree(Settings):
    kind: Literal["tree"] = "tree"
    branching: int = Field(default=8, ge=2)
    rounds: int = 3
    depth: Literal["any", "flat"] = "any"
    training: Inner = Inner()


class Residual(Settings):
    kind: Literal["residual"] = "residual"
    branching: int = Field(default=256, ge=2)
    levels: int = 3
    depth: Literal["deep", "flat"] = "flat"
    training: OtherInner = OtherInner()


class Open(Settings):
    model_config = ConfigDict(extra="allow")
    kind: Literal["open"] = "open"


CodesUnion = Annotated[Tree | Residual | Open, Field(discriminator="kind"), usual_kind("tree")]


class Whole(Settings):
    codes: CodesUnion | None = None
    strict: Annotated[Tree | Residual, Field(discriminator="kind")] | None = None
    named: dict[str, CodesUnion] = Field(default_factory=dict)


@pytest.fixture
def load(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def read(base: str, child: str = "", *overrides: str) -> Whole:
        (tmp_path / "base.toml").write_text(base)
        (tmp_path / "mine.toml").write_text(f'extends = "base.toml"\n{child}')
        return load_settings(tmp_path / "mine.toml", Whole, overrides)

    return read


BASE = "[codes]\nbranching = 16\nrounds = 9\n"
"""A recipe that leaves out the usual kind."""


@pytest.mark.parametrize("how", ["file", "override", "table"])
def test_what_another_kind_does_not_have_is_dropped_with_a_line(load, caplog, how):
    child = '[codes]\nkind = "residual"\nlevels = 4\n' if how == "file" else ""
    overrides = {
        "file": [],
        "override": ["codes.kind=residual", "codes.levels=4"],
        "table": ["codes={kind='residual', levels=4}"],
    }[how]
    assert load(BASE, child, *overrides).codes == Residual(branching=16, levels=4)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith(
        "'codes.kind' is 'residual' and no longer 'tree', so what was set for that is dropped: codes.rounds"
    )


def test_many_experiments_of_one_file_say_it_once(load, caplog):
    with said_once():
        for branching in (4, 4, 8):
            load(BASE, '[codes]\nkind = "residual"\n', f"codes.branching={branching}")
    assert len(caplog.records) == 1
    load(BASE, '[codes]\nkind = "residual"\n')
    assert len(caplog.records) == 2  # what is read afterwards says it again


def test_a_kind_that_was_named_is_replaced_with_all_its_settings(load, caplog):
    assert load(f'{BASE}kind = "tree"', '[codes]\nkind = "residual"\n').codes == Residual()
    assert "is dropped: codes.branching, codes.rounds" in caplog.text


def test_the_same_kind_named_later_changes_nothing(load, caplog):
    for base in (BASE, f'{BASE}kind = "tree"\n'):
        assert load(base, '[codes]\nkind = "tree"\n').codes == Tree(branching=16, rounds=9)
    assert caplog.text == ""


def test_tables_inside_are_dropped_setting_by_setting(load, caplog):
    base = "[codes]\nrounds = 9\n[codes.training]\nepochs = 7\nwidth = 4\n"
    assert load(base, "", "codes.kind=residual").codes == Residual(training=OtherInner(epochs=7))
    assert "is dropped: codes.rounds, codes.training.width" in caplog.text


def test_a_value_that_only_the_other_kind_takes_is_dropped(load, caplog):
    assert load("[codes]\ndepth = 'any'\n", "", "codes.kind=residual").codes == Residual()
    assert "is dropped: codes.depth" in caplog.text
    assert load("[codes]\ndepth = 'flat'\n", "", "codes.kind=residual").codes == Residual(depth="flat")


def test_a_mistake_is_not_dropped_but_named(load):
    with pytest.raises(SettingsError, match=r"^base\.toml: there is no setting 'codes\.ruonds'"):
        load("[codes]\nruonds = 9\n", "", "codes.kind=residual")
    with pytest.raises(
        SettingsError, match=r"^base\.toml: 'codes\.branching' is 1; it should be greater than or equal"
    ):
        load("[codes]\nbranching = 1\n", "", "codes.kind=residual")


@pytest.mark.parametrize("base", [BASE, f'{BASE}kind = "tree"\n'])
def test_what_the_command_line_gives_stays_in_any_order(load, base):
    given = ["codes.levels=5", "codes.branching=32", "codes.training.epochs=2"]
    for overrides in ([*given, "codes.kind=residual"], ["codes.kind=residual", *given]):
        assert load(base, "", *overrides).codes == Residual(levels=5, branching=32, training=OtherInner(epochs=2))
    made = load(base, "", "codes={levels=5, branching=32}", "codes.kind=residual").codes
    assert made == Residual(levels=5, branching=32)


def test_of_several_kinds_on_the_command_line_the_last_counts(load):
    assert load(BASE, "", "codes.kind=residual", "codes.kind=tree").codes == Tree()
    assert load(BASE, "", "codes.kind=residual", "codes.levels=2", "codes.kind=residual").codes == Residual(
        branching=16, levels=2
    )


@pytest.mark.parametrize(
    "overrides", [("codes.rounds=2", "codes.kind=residual"), ("codes.kind=residual", "codes.rounds=2")]
)
def test_what_the_command_line_gives_and_the_kind_lacks_is_an_error_that_names_the_kinds(load, overrides):
    with pytest.raises(SettingsError) as caught:
        load(BASE, "", *overrides)
    assert str(caught.value) == (
        "--set codes.rounds=2: there is no setting 'codes.rounds'. It is a setting of codes.kind = 'tree'. "
        "Allowed here: kind, branching, levels, depth, training"
    )


def test_what_a_file_gives_with_the_kind_and_the_kind_lacks_is_an_error(load):
    with pytest.raises(SettingsError, match=r"^mine\.toml: there is no setting 'codes\.rounds'\. It is a setting of"):
        load(BASE, '[codes]\nkind = "residual"\nrounds = 3\n')
    with pytest.raises(
        SettingsError, match=r"no setting 'codes\.training\.width'\. It is a setting of codes\.kind = 'tree'"
    ):
        load(BASE, '[codes]\nkind = "residual"\n[codes.training]\nwidth = 3\n')


def test_tables_by_name_change_their_kinds_each_for_itself(load):
    base = "[named.a]\nrounds = 4\n[named.b]\nrounds = 5\n"
    assert load(base, "", "named.a.kind=residual").named == {"a": Residual(), "b": Tree(rounds=5)}


def test_a_table_that_has_no_usual_kind_waits_for_one(load):
    assert load("[strict]\nlevels = 4\n", "", "strict.kind=residual").strict == Residual(levels=4)
    assert load("[strict]\nlevels = 4\n", '[strict]\nkind = "residual"\n').strict == Residual(levels=4)


def test_a_kind_that_takes_any_setting_keeps_them(load):
    made = load(BASE, "", "codes.kind=open").codes
    assert made == Open.model_validate({"kind": "open", "branching": 16, "rounds": 9})


@pytest.mark.parametrize("kind", ["3", "[1]", "{}", "residul", "''"])
def test_a_kind_that_there_is_not_is_said(load, kind):
    with pytest.raises(SettingsError, match=r"'codes\.kind' is .*; (allowed: 'tree', 'residual', 'open'|it should)"):
        load(BASE, "", f"codes.kind={kind}")


def test_an_empty_table_still_empties_what_was_there(load):
    assert load(BASE, "", "codes={}", "codes.kind=residual").codes == Residual()
    assert load(BASE, "", "codes.kind=residual", "codes={}").codes == Tree()


def test_overrides_alone_change_kinds_too():
    assert override_settings(Whole, ["codes.levels=2", "codes.kind=residual"]).codes == Residual(levels=2)


def test_a_place_knows_its_classes_and_its_usual_kind():
    top = Place((Whole,))
    assert top.inside("codes").usual == "tree"
    assert top.inside("codes").of_kind("residual") == (Residual,)
    assert top.inside("named").inside("any").usual == "tree"
    assert top.inside("strict").usual is None
    assert top.inside("nothing") == Place()
    assert top.inside("codes").inside("training").classes == (Inner, OtherInner)

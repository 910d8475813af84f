import logging
from typing import Annotated, Literal

import pytest
from pydantic import Field

from lexirec.core.config import Settings, load_settings, override_settings, usual_kind, validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.renamed import current, old_names, renamed, spelled


class Pace(Settings):
    model_config = renamed(warmup="warmup_ratio", average="ema_decay")

    epochs: int = 3
    warmup_ratio: float = 0.1
    ema_decay: float = 0.0


class Slow(Pace):
    warmup_ratio: float = 0.5


class Big(Settings):
    model_config = renamed(fusion="network")

    kind: Literal["big"] = "big"
    network: Pace = Pace()


class Small(Settings):
    kind: Literal["small"] = "small"
    network: Slow = Slow()


class Whole(Settings):
    model_config = renamed(fusions="ensemble")

    model: Annotated[Big | Small, Field(discriminator="kind"), usual_kind("big")] = Big()
    ensemble: dict[str, Pace] = Field(default_factory=dict)
    several: tuple[Pace, ...] = ()
    extra: Slow | None = None


def load(folder, text, *overrides, base=None) -> Whole:
    if base is not None:
        (folder / "base.toml").write_text(base, encoding="utf-8")
        text = f'extends = "base.toml"\n{text}'
    (folder / "shop.toml").write_text(text, encoding="utf-8")
    return load_settings(folder / "shop.toml", Whole, overrides)


def message(folder, text, *overrides, **more) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, text, *overrides, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


OLD = "[model.fusion]\nwarmup = 0.2\n[fusions.a]\naverage = 0.9\n[[several]]\nwarmup = 0.3\n[extra]\naverage = 0.5\n"
NEW = (
    "[model.network]\nwarmup_ratio = 0.2\n[ensemble.a]\nema_decay = 0.9\n[[several]]\nwarmup_ratio = 0.3\n"
    "[extra]\nema_decay = 0.5\n"
)


def test_files_of_either_spelling_say_the_same(tmp_path):
    assert load(tmp_path, OLD) == load(tmp_path, NEW)
    assert load(tmp_path, OLD).model.network.warmup_ratio == 0.2
    assert load(tmp_path, OLD).extra == Slow(ema_decay=0.5, warmup_ratio=0.5)


def test_an_old_name_is_mentioned_once_in_a_load(tmp_path, caplog):
    (tmp_path / "base.toml").write_text("[model.fusion]\nwarmup = 0.2", encoding="utf-8")
    text = 'extends = "base.toml"\n[model.fusion]\nwarmup = 0.4'
    (tmp_path / "shop.toml").write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        load_settings(tmp_path / "shop.toml", Whole, ["model.fusion.warmup=0.6", "model.fusion.average=0.1"])
    assert [record.getMessage() for record in caplog.records] == [
        f"{origin}: '{old}' is the old name of '{new}'; it is still read, write the new one"
        for origin, old, new in (
            ("base.toml", "model.fusion", "model.network"),
            ("base.toml", "model.network.warmup", "model.network.warmup_ratio"),
            ("--set model.fusion.average=0.1", "model.network.average", "model.network.ema_decay"),
        )
    ]


def test_new_names_and_saved_settings_are_read_without_a_word(tmp_path, caplog):
    found = load(tmp_path, NEW, "model.network.ema_decay=0.2")
    assert Whole.model_validate_json(found.model_dump_json()) == found
    assert validate_settings(found.model_dump(mode="json"), Whole) == found
    assert not caplog.records


@pytest.mark.parametrize("names", ["model.fusion.warmup", "model.network.warmup", "model.fusion.warmup_ratio"])
def test_overrides_take_old_names_in_any_place(tmp_path, names):
    found = load(tmp_path, "[model.network]\nepochs = 9", f"{names}=0.4")
    assert found.model.network == Pace(epochs=9, warmup_ratio=0.4)
    assert override_settings(Whole, [f"{names}=0.4"]).model.network.warmup_ratio == 0.4


def test_overrides_of_whole_tables_and_of_list_places_take_old_names(tmp_path):
    assert load(tmp_path, "", "model.fusion={warmup=0.4}").model.network.warmup_ratio == 0.4
    assert load(tmp_path, OLD, "several.0.warmup=0.7").several == (Pace(warmup_ratio=0.7),)
    assert load(tmp_path, OLD, "fusions.a.warmup=0.7").ensemble == {"a": Pace(warmup_ratio=0.7, ema_decay=0.9)}
    assert load(tmp_path, OLD, "fusions={}").ensemble == {}


@pytest.mark.parametrize(("base", "text"), [(OLD, "[ensemble.b]\nepochs = 1\n"), (NEW, "[fusions.b]\nepochs = 1\n")])
def test_old_and_new_spelling_merge_as_one_table(tmp_path, base, text):
    found = load(tmp_path, text, base=base)
    assert found.ensemble == {"a": Pace(ema_decay=0.9), "b": Pace(epochs=1)}


def test_a_value_under_one_name_replaces_one_under_the_other(tmp_path):
    assert load(tmp_path, "[extra]\nema_decay = 0.7", base="[extra]\naverage = 0.5").extra.ema_decay == 0.7
    assert load(tmp_path, "[extra]\naverage = 0.7", base="[extra]\nema_decay = 0.5").extra.ema_decay == 0.7


def test_one_table_under_both_names_is_refused(tmp_path):
    assert message(tmp_path, "[extra]\naverage = 0.1\nema_decay = 0.1") == (
        "shop.toml: 'extra.average' is the old name of 'extra.ema_decay', and both are given; keep the new one"
    )
    assert message(tmp_path, "", "extra={average=0.1, ema_decay=0.2}").startswith("--set extra=")
    with pytest.raises(
        SettingsError, match=r"^saved: 'extra\.average' is the old name of 'extra\.ema_decay', and both"
    ):
        validate_settings({"extra": {"average": 0.1, "ema_decay": 0.1}}, Whole, "saved")


def test_a_kind_that_had_the_old_name_alone_reads_it(tmp_path):
    kind = "[model]\nkind = 'small'\n"
    assert message(tmp_path, f"{kind}[model.fusion]\nepochs = 1").startswith(
        "shop.toml: there is no setting 'model.fus"
    )
    assert "there is no setting 'model.fusion'" in message(tmp_path, kind, "model.fusion.epochs=1")
    assert "there is no setting 'model.fusion'" in message(tmp_path, "[model.fusion]\nepochs = 1", base=kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[extra]\nwarmups = 1", "'extra.warmups'. Did you mean 'extra.warmup_ratio'?"),
        ("[extra]\nwarmup_rate = 1", "'extra.warmup_rate'. Did you mean 'extra.warmup_ratio'?"),
        ("average = 1", "'average'. Did you mean 'model.network.ema_decay'?"),
        ("[extra]\nzzz = 1", "'extra.zzz'. Allowed here: epochs, warmup_ratio, ema_decay"),
    ],
)
def test_messages_suggest_new_names(tmp_path, text, expected):
    assert message(tmp_path, text) == f"shop.toml: there is no setting {expected}"


def test_messages_about_values_have_the_new_name(tmp_path):
    expected = "shop.toml: 'model.network.warmup_ratio' is \"x\"; it should be a valid number"
    assert message(tmp_path, "[model.fusion]\nwarmup = 'x'") == expected


def test_what_is_stored_has_the_old_names():
    stored = Whole(ensemble={"a": Pace()}).model_dump(mode="json")
    assert stored["fusions"] == {"a": {"epochs": 3, "warmup": 0.1, "average": 0.0}}
    assert stored["model"] == {"kind": "big", "fusion": {"epochs": 3, "warmup": 0.1, "average": 0.0}}
    assert Small().model_dump()["network"] == {"epochs": 3, "warmup": 0.5, "average": 0.0}
    assert list(Pace().model_dump(by_alias=False)) == ["epochs", "warmup_ratio", "ema_decay"]
    assert current(stored, Whole) == Whole(ensemble={"a": Pace()}).model_dump(mode="json", by_alias=False) | {
        "several": stored["several"]
    }


def test_names_are_spelled_as_they_are_or_as_they_are_stored():
    big, small = Whole(), Whole(model=Small())
    assert old_names(Slow) == {"warmup": "warmup_ratio", "average": "ema_decay"}
    assert (
        spelled(big, "model.fusion.warmup")
        == spelled(big, "model.network.warmup_ratio")
        == ("model.network.warmup_ratio")
    )
    assert spelled(big, "model.network.epochs", stored=True) == "model.fusion.epochs"
    assert spelled(small, "model.network.warmup_ratio", stored=True) == "model.network.warmup"
    assert spelled(big, "nothing.of.this") == "nothing.of.this"

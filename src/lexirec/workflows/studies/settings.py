"""What a study file may say: a base experiment, what is varied in it, with which seeds, and what is measured.

name, about, base, set, data, seeds, metrics, recommender, baselines, measures, groups, design
[axes.NAME]            variants = {"label" = ["a.b=c", …], …}, or setting = "a.b" and values = [1, 2, 3]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lexirec.core.config import DataPath, Settings, as_toml, load_settings
from lexirec.core.errors import DataError, SettingsError, did_you_mean
from lexirec.core.resources import given_file
from lexirec.data.loading import DataSettings
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.evaluation.significance import gains_by_rank
from lexirec.pipeline.components import DataChoice
from lexirec.pipeline.experiment import Name, load_experiment

Measure = Literal["cost", "meaning"]
Group = Literal["popularity", "history"]
Value = bool | int | float | str


class Axis(Settings):
    """One thing that is varied: variants by their labels, each with the settings that make it."""

    title: str | None = None
    """What tables and figures call it; by default its name."""
    variants: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label -> overrides `a.b=c`; none for what the base file says."""
    setting: str | None = None
    """Instead of variants: the one setting that takes each of `values`, which become the labels."""
    values: tuple[Value, ...] = ()
    """Values of `setting`; where they are numbers, figures have lines."""
    reference: Value | None = None
    """Label (or value) that the others are compared with; by default the first."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.variants) == (self.setting is not None):
            raise ValueError("should hold either 'variants' (label = overrides), or 'setting' and 'values'")
        if (self.setting is None) != (not self.values):
            raise ValueError("'setting' and 'values' belong together")
        if len(self.labelled) < max(1, len(self.values)):
            raise ValueError("'values' should hold each value once")
        given = self.compared_with
        if given not in self.labelled:
            hint = did_you_mean(given, self.labelled)
            raise ValueError(f"'reference' is '{given}'; it should be one of {', '.join(self.labelled)}.{hint}")
        for override in (override for overrides in self.variants.values() for override in overrides):
            _check_override(override)
        return self

    @property
    def labelled(self) -> dict[str, tuple[str, ...]]:
        """Label -> overrides, however they were given."""
        if self.setting is None:
            return dict(self.variants)
        return {_text(value): (f"{self.setting}={_text(value)}",) for value in self.values}

    @property
    def compared_with(self) -> str:
        """The label that the others are compared with."""
        return next(iter(self.labelled)) if self.reference is None else _text(self.reference)

    @property
    def numbers(self) -> dict[str, float] | None:
        """Label -> number, where all labels are numbers and there are two or more; else None."""
        found: dict[str, float] = {}
        for label in self.labelled:
            try:
                found[label] = float(label)
            except ValueError:
                return None
        return found if len(found) > 1 else None


class StudySettings(Settings):
    """A study: many runs of one experiment that differ in what is studied."""

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """What its runs and its report are called; by default the name of the file."""
    about: str = ""
    """What it asks, in a sentence or two; stands above the results."""
    base: DataPath
    """The experiment that is varied."""
    set: tuple[str, ...] = ()
    """Overrides `a.b=c` of the base that hold for all runs."""
    axes: dict[Name, Axis] = Field(default_factory=dict)
    """What is varied."""
    design: Literal["one-at-a-time", "crossed"] = "one-at-a-time"
    """one-at-a-time: every variant of every axis, the other axes as in the reference (an ablation). crossed: every
    combination."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (0,)
    """Seeds of every variant."""
    metrics: tuple[str, ...] = ("ndcg@10", "recall@10")
    """What is told; differences are tested in the first."""
    recommender: str = "model"
    """Which of the experiment's recommenders is studied: `model`, `reinforced`, or the name of a baseline."""
    baselines: tuple[str, ...] = ()
    """Baselines of the base that stand beside it as reference rows; each is made once, with the first seed."""
    data: tuple[DataPath, ...] = ()
    """Folders with `items` and `interactions`, or experiments whose data are taken: the whole study on each of them."""
    measures: tuple[Measure, ...] = ()
    """cost: seconds, memory, floating-point operations and bytes of a training step and a decoded user. meaning:
    whether identifiers and neighbours go with categories and with what is taken next."""
    groups: tuple[Group, ...] = ()
    """Metrics by popularity of the target, by length of the history."""

    @field_validator("seeds", "metrics", "data", "measures", "groups", "baselines")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len({*values}) < len(values):
            raise ValueError("should hold each value once")
        return values

    @field_validator("seeds", "metrics")
    @classmethod
    def _one_at_least(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("should hold one value at least")
        return values

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for metric in metrics:
            name, _, k = metric.partition("@")
            if not k.isdecimal():
                raise ValueError(f"'{metric}' should be such as ndcg@10, recall@5 or mrr@20")
            try:
                gains_by_rank(name, int(k))
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return metrics

    @field_validator("set")
    @classmethod
    def _are_overrides(cls, overrides: tuple[str, ...]) -> tuple[str, ...]:
        for override in overrides:
            _check_override(override)
        return overrides


@dataclass(frozen=True)
class StudyFile:
    """A study as it was asked for.

    Attributes:
        path: its file.
        settings: what the file says, with the overrides that concern the study itself.
        overrides: those that concern every run's experiment.
    """

    path: Path
    settings: StudySettings
    overrides: tuple[str, ...] = ()


def load_study_file(path: str | Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Read a study file; overrides that name a setting of the study change it, all others the base of every run.

    `seeds=[0,1]` and `axes.part.reference=full` are the study's; `model.training.epochs=1` and `data.max_history=5` are
    the experiment's.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
    """
    path = given_file(path)
    own = [override for override in overrides if _of_the_study(override)]
    settings = load_settings(path, StudySettings, own)
    if "name" not in settings.model_fields_set:
        settings = settings.model_copy(update={"name": path.stem})
    return StudyFile(path, settings, tuple(override for override in overrides if override not in own))


def _of_the_study(override: str) -> bool:
    name = override.partition("=")[0].strip()
    return name in StudySettings.model_fields or name.startswith("axes.")


def _check_override(override: str) -> None:
    name, equals, _ = override.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise ValueError(f"'{override}' should be an override such as model.training.epochs=4")


def _text(value: Value) -> str:
    """Write a value as TOML does, which labels and overrides share."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# --------------------------------------------------------------------------------------------------------- foreign data
# Other data for the same recipe: folders with two tables, or the data of another experiment, as overrides.


_TABLES = {"items": ("items",), "interactions": ("interactions", "events")}


_PEOPLE = ("users", "user_columns")


_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")


def data_name(path: Path) -> str:
    """Return what a data set is called: its folder's name, or its experiment's."""
    return path.stem if path.suffix == ".toml" else path.name


def data_overrides(path: Path, base: DataChoice) -> tuple[str, ...]:
    """Return the overrides that put a data set in the place of an experiment's own.

    A folder brings its tables and, of the base's text fields, those that it has; columns, split and cap of histories
    stay the base's, its texts about users do not, since they are about others. An experiment brings its whole `[data]`.

    Raises:
        DataError: there is no such folder, or it lacks a table or every text field.
        SettingsError: the experiment cannot be read.
    """
    if path.suffix == ".toml":
        given = load_experiment(path).data.model_dump(mode="json", exclude_unset=True)
        return _instead(given)
    tables = {name: _table(path, name, stems) for name, stems in _TABLES.items()}
    with Workspace() as workspace:
        columns = workspace.open(tables["items"]).columns
    text = [field for field in base.text if field in columns]
    if not text:
        raise DataError(f"{tables['items']}: none of the text fields {', '.join(base.text)} is there; set data.text")
    recipe = base.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in recipe.items() if name in DataSettings.model_fields and name not in _PEOPLE}
    places = {name: str(table) for name, table in tables.items()}
    return _instead({**kept, **places, "kind": "tables", "text": text})


def _instead(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the overrides that put a whole table `[data]` in the place of another, of which nothing stays."""
    return ("data={}", f"data={as_toml(data)}")


def _table(folder: Path, name: str, stems: tuple[str, ...]) -> Path:
    found = [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    there = next((path for path in found if path.is_file()), None)
    if there is None:
        raise DataError(f"data: {folder} holds no {name} table; {name}.parquet, .csv or .jsonl is looked for")
    return there

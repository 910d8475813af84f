"""Settings of a study file: base experiment, axes of variants, data sets, seeds and measures.

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
from lexirec.core.shipped_files import given_file
from lexirec.data.loading import DataSettings
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.evaluation.significance import gains_by_rank
from lexirec.pipeline.components import DataChoice
from lexirec.pipeline.experiment import Name, load_experiment

Measure = Literal["cost", "meaning"]
Group = Literal["popularity", "history"]
Value = bool | int | float | str


class Axis(Settings):
    """One axis of variation: variants by label, each with its overrides."""

    title: str | None = None
    """Title in tables and figures; by default its name."""
    variants: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label -> overrides `a.b=c`; none for the base as it is."""
    setting: str | None = None
    """Instead of variants: one setting that takes each of `values`, which are the labels."""
    values: tuple[Value, ...] = ()
    """Values of `setting`; numbers give line figures."""
    reference: Value | None = None
    """Label (or value) of the reference; by default the first."""

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
        """Label -> overrides, from `variants` or from `setting` and `values`."""
        if self.setting is None:
            return dict(self.variants)
        return {_text(value): (f"{self.setting}={_text(value)}",) for value in self.values}

    @property
    def compared_with(self) -> str:
        """Label of the reference."""
        return next(iter(self.labelled)) if self.reference is None else _text(self.reference)

    @property
    def numbers(self) -> dict[str, float] | None:
        """Label -> number, where all labels are numbers and there are two or more; else None."""
        by_label: dict[str, float] = {}
        for label in self.labelled:
            try:
                by_label[label] = float(label)
            except ValueError:
                return None
        return by_label if len(by_label) > 1 else None


class StudySettings(Settings):
    """A study: runs of one experiment that differ along axes, data sets and seeds."""

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of its runs and its report; by default the name of the file."""
    about: str = ""
    """Question of the study, in a sentence or two, shown above the results."""
    base: DataPath
    """The base experiment."""
    set: tuple[str, ...] = ()
    """Overrides `a.b=c` of the base for all runs."""
    axes: dict[Name, Axis] = Field(default_factory=dict)
    """Axes of variation."""
    design: Literal["one-at-a-time", "crossed"] = "one-at-a-time"
    """one-at-a-time: every variant of every axis, the other axes as in the reference (an ablation). crossed: every
    combination."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (0,)
    """Seeds of every variant."""
    metrics: tuple[str, ...] = ("ndcg@10", "recall@10")
    """Reported metrics; differences are tested in the first."""
    recommender: str = "model"
    """The studied recommender: `model`, `reinforced`, or the name of a baseline."""
    baselines: tuple[str, ...] = ()
    """Baselines of the base to show beside it; each is fitted once, with the first seed."""
    data: tuple[DataPath, ...] = ()
    """Folders with `items` and `interactions`, or experiment files with data; the whole study runs on each of them."""
    measures: tuple[Measure, ...] = ()
    """cost: seconds, memory, floating-point operations and bytes of a training step and a decoded user. meaning:
    agreement of identifiers and neighbours with categories and with the next item."""
    groups: tuple[Group, ...] = ()
    """Metrics by popularity of the target, or by length of the history."""

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
    """A study file with overrides.

    Attributes:
        path: the file.
        settings: settings of the file, with the overrides of the study itself.
        overrides: overrides of every run's experiment.
    """

    path: Path
    settings: StudySettings
    overrides: tuple[str, ...] = ()


def load_study_file(path: str | Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Read a study file; overrides of study settings apply to the study, all others to the experiment of every run.

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


# ------------------------------------------------------------------------------------------------------- data sets

_TABLES = {"items": ("items",), "interactions": ("interactions", "events")}
_PEOPLE = ("users", "user_columns")
_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")


def data_name(path: Path) -> str:
    """Return the name of a data set: of its folder, or of its experiment file."""
    return path.stem if path.suffix == ".toml" else path.name


def data_overrides(path: Path, base: DataChoice) -> tuple[str, ...]:
    """Return the overrides that replace an experiment's data by a data set.

    A folder replaces the tables and keeps the base's text fields that it has, columns, split and cap of histories, but
    not its texts about users, who are others. An experiment file replaces the whole `[data]`.

    Raises:
        DataError: the folder does not exist, or lacks a table or every text field.
        SettingsError: the experiment is invalid.
    """
    if path.suffix == ".toml":
        theirs = load_experiment(path).data.model_dump(mode="json", exclude_unset=True)
        return _instead(theirs)
    tables = {name: _table(path, name, stems) for name, stems in _TABLES.items()}
    with Workspace() as workspace:
        columns = workspace.open(tables["items"]).columns
    text = [field for field in base.text if field in columns]
    if not text:
        raise DataError(f"{tables['items']}: has none of the text fields {', '.join(base.text)}; set data.text")
    recipe = base.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in recipe.items() if name in DataSettings.model_fields and name not in _PEOPLE}
    places = {name: str(table) for name, table in tables.items()}
    return _instead({**kept, **places, "kind": "tables", "text": text})


def _instead(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the overrides that replace the whole table `[data]`."""
    return ("data={}", f"data={as_toml(data)}")


def _table(folder: Path, name: str, stems: tuple[str, ...]) -> Path:
    candidates = [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    there = next((path for path in candidates if path.is_file()), None)
    if there is None:
        raise DataError(f"data: {folder} holds no table of {name}; add {name}.parquet, .csv or .jsonl")
    return there

"""Expand a study file into rows (axes × data sets) and runs (rows × seeds), each an experiment."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from lexirec.core.config import written_in
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.merging import said_once
from lexirec.core.runs import OWN
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.workflows.studies.settings import (
    Axis,
    StudyFile,
    StudySettings,
    data_name,
    data_overrides,
    load_study_file,
)


@dataclass(frozen=True)
class Row:
    """One variant on one data set, over all seeds: a row of the study's table.

    Attributes:
        label: its label, unique among the rows of one data set.
        slug: label for names of files and experiments, unique in the study.
        data: name of the data set, "" for the base's own.
        chosen: axis -> label of its variant.
        reference: whether the others are compared with it.
        overrides: overrides of the base.
        data_overrides: overrides that replace the base's data.
    """

    label: str
    slug: str
    data: str
    chosen: Mapping[str, str]
    reference: bool
    overrides: tuple[str, ...]
    data_overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The label with the data set, unique in the study."""
        return f"{self.data}: {self.label}" if self.data else self.label


@dataclass(frozen=True)
class StudyRun:
    """One row with one seed: an experiment.

    Attributes:
        row: the row.
        seed: the seed.
        experiment: the experiment to run.
        baselines: its baselines that are rows of the table; only the first run of each data set has any.
        command: the command line that runs it alone.
    """

    row: Row
    seed: int
    experiment: Experiment
    baselines: tuple[str, ...]
    command: str

    @property
    def name(self) -> str:
        """Name in messages and tables."""
        return f"{self.row.name}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A study with its runs.

    Attributes:
        settings: settings of the study file.
        path: the study file.
        runs: all runs, in order, the reference's first.
    """

    settings: StudySettings
    path: Path
    runs: tuple[StudyRun, ...] = field(repr=False)

    @cached_property
    def rows(self) -> list[Row]:
        """All rows, in order."""
        return list({run.row.name: run.row for run in self.runs}.values())

    @property
    def data(self) -> list[str]:
        """The names of the data sets, in order; one empty name for the base's own data."""
        return list(dict.fromkeys(row.data for row in self.rows))


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and the experiments of all its runs, so that errors are reported before the first run.

    Args:
        path: the file.
        overrides: `a.b=c`, for the study's own settings or for every run's experiment.

    Raises:
        SettingsError: one line that names file, setting, what was given and what is allowed.
        DataError: a folder of data lacks its tables.
    """
    file = load_study_file(path, overrides)
    rows = _rows(file)
    with said_once():
        runs = [_run(file, row, seed) for row in rows for seed in file.settings.seeds]
    _check_recommenders(file, runs[0])
    for run in runs:
        _check_places(file, run)
    firsts = {row.data: row.name for row in reversed(rows) if row.reference}
    for place, run in enumerate(runs):
        first = firsts[run.row.data] == run.row.name and run.seed == file.settings.seeds[0]
        runs[place] = _trimmed(run, file.settings, file.settings.baselines if first else ())
    return Study(file.settings, file.path, tuple(runs))


# ------------------------------------------------------------------------------------------------------------ rows


def _rows(file: StudyFile) -> list[Row]:
    """List all rows, the reference of each data set first."""
    rows = []
    for data, its_overrides in _data_sets(file):
        for chosen in _combinations(file.settings):
            label = _label(file.settings, chosen)
            made_by = [
                override for name, axis in file.settings.axes.items() for override in axis.labelled[chosen[name]]
            ]
            reference = all(axis.compared_with == chosen[name] for name, axis in file.settings.axes.items())
            rows.append(Row(label, _slug(data, label), data, chosen, reference, tuple(made_by), its_overrides))
    slugs = [row.slug for row in rows]
    numbered = [slug if slugs.count(slug) == 1 else f"{slug}-{place}" for place, slug in enumerate(slugs)]
    return [replace(row, slug=slug) for row, slug in zip(rows, numbered, strict=True)]


def _combinations(settings: StudySettings) -> Iterator[dict[str, str]]:
    """Yield axis -> label for every row, the reference first."""
    reference = {name: axis.compared_with for name, axis in settings.axes.items()}
    yield reference
    if settings.design == "crossed":
        for labels in product(*(axis.labelled for axis in settings.axes.values())):
            chosen = dict(zip(settings.axes, labels, strict=True))
            if chosen != reference:
                yield chosen
        return
    for name, axis in settings.axes.items():
        for label in axis.labelled:
            if label != reference[name]:
                yield {**reference, name: label}


def _label(settings: StudySettings, chosen: Mapping[str, str]) -> str:
    """Return a row's label: its differences from the reference, or its variant where there is one axis."""
    axes = settings.axes
    if not axes:
        return settings.recommender
    differing = [name for name in axes if chosen[name] != axes[name].compared_with]
    if len(axes) == 1:
        differing = list(axes)
    if not differing:
        return "reference"
    return ", ".join(variant_text(name, axes[name], chosen[name]) for name in differing)


def variant_text(name: str, axis: Axis, label: str) -> str:
    """Return a variant's label, with the axis in front of values and numbers."""
    bare = axis.setting is not None or axis.numbers is not None
    return f"{axis.title or name.replace('_', ' ')} {label}" if bare else label


def _slug(*parts: str) -> str:
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts))) or "row"


def _data_sets(file: StudyFile) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name and the overrides of every data set."""
    if not file.settings.data:
        return [("", ())]
    names = [data_name(path) for path in file.settings.data]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{file.path.name}: 'data' names {name} twice; names of data sets must be distinct")
    base = load_experiment(file.settings.base, _common(file))
    return [(name, data_overrides(path, base.data)) for name, path in zip(names, file.settings.data, strict=True)]


def _common(file: StudyFile) -> tuple[str, ...]:
    """Return the overrides of all runs: those of the file (paths relative to it), then those of the command line."""
    return (*(written_in(file.path.resolve().parent, override) for override in file.settings.set), *file.overrides)


# ------------------------------------------------------------------------------------------------------------ runs


def _run(file: StudyFile, row: Row, seed: int) -> StudyRun:
    """Load the experiment of a row and seed.

    Raises:
        SettingsError: it is invalid; the message names study, row and setting.
    """
    folder, name = file.path.resolve().parent, f"{file.settings.name}.{row.slug}"
    made_by = (written_in(folder, override) for override in row.overrides)
    overrides = (*row.data_overrides, *_common(file), *made_by, f"seed={seed}", f"name={name}")
    try:
        experiment = load_experiment(file.settings.base, overrides)
    except SettingsError as error:
        raise SettingsError(f"{file.path.name}: '{row.name}': {error}") from None
    return StudyRun(row, seed, experiment, (), _command(file.settings.base, overrides, folder))


def _command(base: Path, overrides: Sequence[str], folder: Path) -> str:
    """Return the command line that runs the same experiment from the working directory."""
    words = ["lexirec", "run", os.path.relpath(base)]
    for override in overrides:
        words += ["--set", _from_here(override, folder)]
    return shlex.join(words)


def _from_here(override: str, folder: Path) -> str:
    """Rewrite an override's path, relative to the study's folder, relative to the working directory."""
    name, _, value = override.partition("=")
    if not hasattr(override, "folder") or "/" not in value or value.startswith(("/", "~", "$")):
        return str(override)
    path = folder / value
    return f"{name}={os.path.relpath(path)}" if path.exists() else str(override)


def _trimmed(run: StudyRun, settings: StudySettings, baselines: tuple[str, ...]) -> StudyRun:
    """Remove the parts of a run's experiment that the study does not evaluate."""
    whole, wanted = run.experiment, {settings.recommender, *baselines}
    fusions = {name: fusion for name, fusion in whole.ensemble.items() if name in wanted}
    parts = {part for fusion in fusions.values() for part in fusion.of}
    if whole.reinforcement is not None and whole.reinforcement.scorer is not None:
        parts.add(whole.reinforcement.scorer)
    kept = {name: each for name, each in whole.baselines.items() if name in wanted | parts}
    experts = {name: each for name, each in whole.experts.items() if name in parts}
    changes: dict[str, object] = {"baselines": kept, "experts": experts, "ensemble": fusions}
    if not (wanted | parts) & set(OWN):
        changes |= dict.fromkeys(("model", "reinforcement", "pretraining"))
        if "meaning" not in settings.measures:
            changes |= dict.fromkeys(("codes", "identifiers", "backbone"))
    elif "reinforced" not in wanted | parts:
        changes["reinforcement"] = None
    emptied = [name for name in ("baselines", "experts", "ensemble") if getattr(whole, name) and not changes[name]]
    command = " ".join([run.command, *(f"--set '{name}={{}}'" for name in emptied)])
    return StudyRun(run.row, run.seed, whole.model_copy(update=changes), baselines, command)


def _check_recommenders(file: StudyFile, run: StudyRun) -> None:
    experiment = run.experiment
    known = [name for name in ("model", "reinforced") if _has(experiment, name)]
    known += [*experiment.ensemble, *experiment.baselines]
    _check_name(file, "recommender", file.settings.recommender, known)
    for name in file.settings.baselines:
        _check_name(file, "baselines", name, experiment.baselines)


def _check_places(file: StudyFile, run: StudyRun) -> None:
    """Check that the lists are long enough for the metrics."""
    longest = max(run.experiment.evaluation.ks)
    for metric in file.settings.metrics:
        if int(metric.partition("@")[2]) > longest:
            raise SettingsError(
                f"{file.path.name}: 'metrics' names {metric}, but the lists of '{run.row.name}' hold {longest} items; "
                f"use @{longest} or less, or raise evaluation.ks"
            )


def _has(experiment: Experiment, name: str) -> bool:
    return (experiment.model if name == "model" else experiment.reinforcement) is not None


def _check_name(file: StudyFile, setting: str, given: str, known: Collection[str]) -> None:
    if given not in known:
        base, hint = file.settings.base.name, did_you_mean(given, known)
        raise SettingsError(f"{file.path.name}: '{setting}' names '{given}'; {base} allows {', '.join(known)}.{hint}")

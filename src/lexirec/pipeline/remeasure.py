"""Evaluate a finished recommender again, by the settings of its own evaluation: of a run, or of an exported folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, LexirecError
from lexirec.core.runs import RunRecord, evaluations, find_run, recommenders, unfinished_run
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.evaluation.evaluator import Report
from lexirec.models.exported import check_export
from lexirec.models.loading import chosen, folder_named
from lexirec.models.saving import MANIFEST
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.results import protocol_difference, with_seeds
from lexirec.pipeline.stages.evaluation import measure
from lexirec.pipeline.stages.report import stored_reports

FIGURES = "figures.json"
"""File of an exported folder: how the recommender was evaluated, on which data, and what was measured."""


@dataclass(frozen=True)
class Evaluated:
    """A recommender with its evaluation.

    Attributes:
        name: Of the experiment.
        recommender: Its name in the experiment.
        folder: Where it is saved.
        data: Key of the data that it was evaluated on; empty where it is unknown.
        settings: Of the evaluation; None where it was never evaluated.
        reports: What was measured, by the treatment of seen items.
    """

    name: str
    recommender: str
    folder: Path
    data: str
    settings: EvaluationSettings | None
    reports: Mapping[str, Report]

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation as the content of `figures.json`."""
        return {
            "experiment": self.name,
            "recommender": self.recommender,
            "data": self.data,
            "settings": None if self.settings is None else self.settings.model_dump(mode="json"),
            "reports": {seen: report.as_json() for seen, report in self.reports.items()},
        }


def evaluated(store: Store, name: str, wanted: str | None = None) -> Evaluated:
    """Return a recommender of a finished experiment, or of an exported or saved folder, with its stored evaluation.

    Raises:
        ArtifactError: there is no such experiment or recommender, or its files are damaged.
    """
    folder = folder_named(name)
    return _of_folder(folder) if folder is not None else _of_run(store, find_run(store, name), wanted)


def _of_run(store: Store, run: RunRecord, wanted: str | None) -> Evaluated:
    part = chosen(run, wanted)
    stage = recommenders(run)[part]
    store.check(stage.folder)
    folder = evaluations(run).get(part)
    reports = {}
    if folder is not None:
        of_part = run.stage(f"evaluation.{part}")
        reports = {seen: with_seeds(each, run.stages, of_part) for seen, each in stored_reports(folder).items()}
    settings = validate_settings(run.settings["evaluation"], EvaluationSettings, "evaluation")
    return Evaluated(run.name, part, stage.folder, run.stage("data").key, settings, reports)


def _of_folder(folder: Path) -> Evaluated:
    if not (folder / FIGURES).is_file():
        if not (folder / MANIFEST).is_file():
            check_export(folder, "hub")
        return Evaluated(folder.resolve().name, "", folder, "", None, {})
    check_export(folder, "hub")
    try:
        values = json.loads((folder / FIGURES).read_bytes())
        reports = {seen: as_report(each) for seen, each in values["reports"].items()}
        given = values["settings"]
        settings = None if given is None else validate_settings(given, EvaluationSettings, FIGURES)
        return Evaluated(values["experiment"], values["recommender"], folder, values["data"], settings, reports)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / FIGURES} is damaged ({error}); fetch or export the folder again") from None


def as_report(values: Mapping[str, Any]) -> Report:
    """Return a report of figures and protocol that `Report.as_json` gave; it has no ranks and lists."""
    import numpy as np

    metrics = {str(name): float(value) for name, value in values["metrics"].items()}
    return Report(
        metrics,
        np.zeros(0, np.int64),
        dict(values["protocol"]),
        int(values["invalid"]),
        identifier_metrics=values.get("identifier_metrics"),
        short=int(values.get("short", 0)),
    )


def measure_again(
    store: Store, known: Evaluated, *, data: str | None = None, fold: str | None = None, seen: str | None = None
) -> dict[str, Report]:
    """Evaluate a recommender again, and return what is measured by the treatment of seen items.

    Nothing is stored. The cases and the catalogue must be those of the earlier evaluation.

    Args:
        store: With the data.
        known: The recommender, and how it was evaluated.
        data: An experiment of the store whose data are used; by default the recommender's own.
        fold: `test` or `validation`; by default as before.
        seen: A further treatment of seen items, `excluded` or `included`.

    Raises:
        ArtifactError: the data are not in the store, or are others; or it is unknown how to evaluate.
    """
    if known.settings is None:
        raise ArtifactError(
            f"{known.folder}: how it was evaluated is unknown ({FIGURES} is missing); "
            "export the recommender of a finished experiment"
        )
    before = known.settings.model_dump(mode="json")
    treatments = before["seen"] if seen in (None, *before["seen"]) else [*before["seen"], seen]
    changes = {"fold": fold or before["fold"], "seen": treatments, "keep_lists": 0}
    settings = validate_settings(before | changes, EvaluationSettings, "evaluation")
    inputs = {"recommender": known.folder, "data": _data_folder(store, known, data)}
    _check_items(known, inputs["data"])
    with tempfile.TemporaryDirectory(prefix="lexirec-") as out:
        try:
            measure(settings, inputs, Path(out))
        except LexirecError as error:
            if data is None:
                raise
            raise ArtifactError(f"{known.name} cannot be evaluated on the data of {data}: {error}") from None
        reports = stored_reports(Path(out))
    if settings.fold == known.settings.fold:
        _check_alike(known, reports, data)
    return reports


def evaluate_folder(store: Store, folder: Path, fold: str, seen: str | None = None) -> Report:
    """Evaluate the recommender of an exported folder again, on cases of a fold; see `measure_again`."""
    known = _of_folder(folder)
    reports = measure_again(store, known, fold=fold, seen=seen)
    return reports[seen or (known.settings.seen[0] if known.settings is not None else "excluded")]


def _data_folder(store: Store, known: Evaluated, data: str | None) -> Path:
    if data is not None:
        run = unfinished_run(store, data) or find_run(store, data)
        folder = run.stage("data").folder
    else:
        folder = store.path("data", known.data)
        if not known.data or not folder.is_dir():
            raise ArtifactError(
                f"the store {store.root} lacks the data that {known.name} was evaluated on; lexirec run "
                "EXPERIMENT.toml --until data makes it there (with other settings, name it with --data NAME), or give "
                "--store"
            )
    store.check(folder)
    return folder


def _check_items(known: Evaluated, data: Path) -> None:
    ids = [Catalog.load(folder / "catalog").item_ids for folder in (known.folder, data)]
    if ids[0] != ids[1]:
        raise ArtifactError(
            f"{known.name} ranks {len(ids[0]):,} items, which are not the {len(ids[1]):,} items of the data in {data}; "
            "give the data that it was trained on with --data NAME"
        )


def _check_alike(known: Evaluated, reports: Mapping[str, Report], data: str | None) -> None:
    for seen, report in known.reports.items():
        if seen not in reports:
            continue
        same_items = {"catalog": reports[seen].protocol["catalog"]}  # an export may have fewer columns
        difference = protocol_difference(report.protocol | same_items, reports[seen].protocol)
        if difference is not None:
            source = f"of {data}" if data is not None else "in the store"
            raise ArtifactError(f"{known.name} was evaluated on other cases than the data {source} have ({difference})")

"""Analyse stored evaluations: metrics by slice, beyond-accuracy measures, calibration of probabilities."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, RenderableType

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import RunRecord, find_run
from lexirec.core.store import Store
from lexirec.data.ranking import Ranking
from lexirec.evaluation.beyond_accuracy import beyond_accuracy, mean_of_seeds
from lexirec.evaluation.calibration import Calibration, calibration
from lexirec.evaluation.context import EvaluationContext, beyond_accuracy_context, divided
from lexirec.evaluation.evaluator import Report
from lexirec.evaluation.slice_metrics import QUICK, Sliced, measure_slices
from lexirec.pipeline.experiment import EvaluationSettings
from lexirec.pipeline.stages.data import load_catalog, load_split
from lexirec.pipeline.stages.evaluation import measured_cases
from lexirec.pipeline.stages.identifiers import joined_vectors
from lexirec.reporting.content import seen_in_words
from lexirec.reporting.tables import beyond_table, calibration_table, reliability_table, slices_table
from lexirec.workflows.comparison.comparability import Systems, check_comparable
from lexirec.workflows.comparison.systems import read_name, stored_systems


@dataclass(frozen=True, eq=False)
class Analysis:
    """Slices, beyond-accuracy measures and calibrations of several systems.

    Attributes:
        k: cut-off of metrics and lists.
        seen: treatment of seen items, in all but the calibrations: `excluded`, `included`.
        cases: number of cases.
        users: number of users.
        slices: metrics by group, one per slicing.
        beyond: system -> beyond-accuracy measure -> value.
        calibrations: system -> calibration, for systems whose scores are probabilities.
        notes: parts that are missing, and why.
    """

    k: int
    seen: str
    cases: int
    users: int
    slices: tuple[Sliced, ...]
    beyond: dict[str, dict[str, float | None]]
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "k": self.k,
            "seen": self.seen,
            "cases": self.cases,
            "users": self.users,
            "replicates": QUICK.replicates,
            "level": QUICK.level,
            "slices": {each.kind: {"told": each.description, "rows": each.rows()} for each in self.slices},
            "beyond_accuracy": self.beyond,
            "calibration": {system: each.as_json() for system, each in self.calibrations.items()},
            "notes": list(self.notes),
        }

    def tables(self) -> list[RenderableType]:
        """Return everything as terminal tables."""
        shown = [*(slices_table(each) for each in self.slices), beyond_table(self.beyond, self.k)]
        if self.calibrations:
            shown += [calibration_table(self.calibrations), reliability_table(self.calibrations)]
        return shown

    def heading(self) -> str:
        """Return a summary of cases and intervals, followed by the notes."""
        seen = seen_in_words(self.seen)
        cases = f"{self.cases:,} cases of {self.users:,} users, {seen}"
        return "\n".join([f"{cases}; ± is half the 95 % interval, users resampled; bold is the best NDCG", *self.notes])

    def text(self) -> str:
        """Return heading and tables as text."""
        console = Console(file=io.StringIO(), width=200, color_system=None)
        console.print(self.heading(), *self.tables(), sep="\n")
        written: str = console.file.getvalue()  # type: ignore[attr-defined]
        return written.rstrip()

    def draw(self, folder: str | Path) -> list[Path]:
        """Draw every table as PNG and SVG into a folder; return the paths of the PNGs."""
        from lexirec.reporting.analysis_figures import draw  # matplotlib takes long to load

        return draw(Path(folder), self.slices, (self.beyond, self.k), self.calibrations)


def analyze_named(
    store: Store,
    names: Sequence[str],
    *,
    k: int = 10,
    by: Sequence[str] = (),
    of: str | None = None,
    seen: str | None = None,
) -> Analysis:
    """Analyse stored evaluations by their names.

    Args:
        store: where the experiments are.
        names: as `compare_named` reads them: `[LABEL=]NAME[:RECOMMENDER][@SEED,SEED…]`.
        k: cut-off of metrics and lists.
        by: `KIND` or `KIND=VALUE` of `evaluation.context.KINDS`, such as `category=brand` or `popularity=5`; by default
            all kinds.
        of: default recommender of names without one.
        seen: `excluded` or `included`; by default the headline of the first experiment.

    Raises:
        ArtifactError: a run has not finished, protocols differ, or lists were not kept.
        SettingsError: a name, k or a kind of slice is invalid.
    """
    systems, _ = stored_systems(store, names, of=of, seen=seen, lists=True)
    first = read_name(store, names[0])[1][0]
    kept, notes = _with_seen_items(store, names, of, systems)
    analysis = analyze_systems(systems, context_of(find_run(store, first.name, first.seed)), kept, k=k, by=by)
    return Analysis(**{**vars(analysis), "notes": (*analysis.notes, *notes)})


def context_of(run: RunRecord) -> EvaluationContext:
    """Read catalogue, split, evaluated cases and vectors of a finished experiment."""
    folder = run.stage("data").folder
    split = load_split(folder)
    settings = validate_settings(run.settings["evaluation"], EvaluationSettings, run.name)
    sources = {f"vectors.{name}": stage.folder for name, stage in run.variants("vectors").items()}
    vectors = joined_vectors(sources) if sources else None
    return EvaluationContext(load_catalog(folder), split, measured_cases(settings, split), vectors)


def analyze_systems(
    systems: Systems, context: EvaluationContext, kept: Systems | None = None, *, k: int = 10, by: Sequence[str] = ()
) -> Analysis:
    """Analyse evaluations of the same cases.

    Args:
        systems: name -> its reports with lists, one per seed.
        context: catalogue, split and cases of the reports.
        kept: reports with seen items kept of systems whose scores are probabilities, for calibration.
        k: cut-off of metrics and lists.
        by: see `analyze_named`.

    Raises:
        ArtifactError: reports are of different cases, or their lists have fewer than k items.
        SettingsError: k or a kind of slice is invalid.
    """
    users = check_comparable(systems)
    lists = {name: [_lists(name, report, k) for report in reports] for name, reports in systems.items()}
    anyone = next(iter(systems.values()))[0]
    if not np.array_equal(anyone.cases["target"], context.cases.targets):
        raise ArtifactError("analyze: the evaluations do not match the experiment's cases; evaluate again")
    slicings, notes = divided(context, by)
    ranks = {name: np.stack([report.ranks for report in reports]) for name, reports in systems.items()}
    excluded = bool(anyone.protocol.get("exclude_seen"))
    lists_context = beyond_accuracy_context(context, excluded, by)
    return Analysis(
        k=k,
        seen="excluded" if excluded else "included",
        cases=len(users),
        users=len(np.unique(users)),
        slices=tuple(measure_slices(each, ranks, users, k=k) for each in slicings),
        beyond={
            name: mean_of_seeds([beyond_accuracy(each.items[:, :k], lists_context) for each in found])
            for name, found in lists.items()
        },
        calibrations={name: _calibrated(name, reports) for name, reports in (kept or {}).items()},
        notes=tuple(notes),
    )


def _lists(name: str, report: Report, k: int) -> Ranking:
    if k < 1:
        raise SettingsError(f"-k {k}: must be 1 or more, for example -k 10")
    if report.lists is None:
        raise ArtifactError(
            f"{name}: its evaluation kept no lists; run the experiment again with evaluation.keep_lists above 0"
        )
    if report.lists.items.shape[1] < k:
        raise ArtifactError(
            f"{name}: its evaluation kept lists of {report.lists.items.shape[1]} items; use -k "
            f"{report.lists.items.shape[1]} or less, or evaluate again with evaluation.ks and keep_lists of {k} or more"
        )
    return report.lists


def _with_seen_items(store: Store, names: Sequence[str], of: str | None, systems: Systems) -> tuple[Systems, list[str]]:
    """Return the reports with seen items kept of systems with probabilities as scores, or a note why there are none."""
    probabilistic = [
        name for name, reports in systems.items() if all(each.protocol.get("probabilities") for each in reports)
    ]
    if not probabilistic:
        return {}, ["no calibration: no system's scores are probabilities over the catalogue"]
    try:
        kept, _ = stored_systems(store, names, of=of, seen="included", lists=True)
    except ArtifactError as error:
        return {}, [f"no calibration: {error}"]
    return {name: kept[name] for name in probabilistic}, []


def _calibrated(name: str, reports: Sequence[Report]) -> Calibration:
    """Calibrate over the pooled cases of all seeds, clustered by user."""
    lists = [_lists(name, report, 1) for report in reports]
    whole = Ranking(np.concatenate([each.items for each in lists]), np.concatenate([each.scores for each in lists]))
    targets, users = (np.concatenate([report.cases[each] for report in reports]) for each in ("target", "user"))
    return calibration(whole, targets, users, bootstrap=QUICK)

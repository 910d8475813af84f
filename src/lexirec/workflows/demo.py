"""Demo on the built-in toy shop: run a family's experiment and show metrics and recommendations."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.runs import RunRecord, evaluations, recommenders
from lexirec.core.shipped_files import shipped
from lexirec.core.store import Store
from lexirec.models.loading import chosen
from lexirec.pipeline import run
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.stages.report import report_content
from lexirec.reporting.content import ReportContent

EXPERIMENTS = {"gram": "toy-gram.toml", "tsrec": "toy-tsrec.toml"}
"""The shipped experiment of each family."""


@dataclass(frozen=True)
class Demonstration:
    """Results of the demo.

    Attributes:
        run: The finished run of the toy experiment.
        content: Metrics, protocol and example recommendations.
        report: Copy of the report in the demo's folder.
    """

    run: RunRecord
    content: ReportContent
    report: Path


def demonstrate(folder: Path, overrides: Sequence[str] = (), family: str = "gram") -> Demonstration:
    """Run a family's toy experiment; write its report into `folder` and the artifacts into `folder/store`.

    Raises:
        LexirecError: the family or a setting is invalid, or the folder cannot be written.
    """
    if family not in EXPERIMENTS:
        allowed = ", ".join(EXPERIMENTS)
        raise SettingsError(f"--family {family}: allowed are {allowed}.{did_you_mean(family, EXPERIMENTS)}")
    experiment = load_experiment(shipped(EXPERIMENTS[family]), overrides)
    done = run.run_experiment(experiment, Store(folder / "store"))
    if done is None:  # only with `until`
        raise SettingsError("demo: the run stopped before its end")
    return Demonstration(done, content_of(done), _copy(done.stage("report").folder, folder))


def content_of(run: RunRecord) -> ReportContent:
    """Return the report's content for a finished run."""
    inputs = {"data": run.stage("data").folder, "recommender": recommenders(run)[chosen(run)].folder}
    inputs |= {f"evaluation.{name}": folder for name, folder in evaluations(run).items()}
    if "identifiers" in run.stages:
        inputs["identifiers"] = run.stage("identifiers").folder
    kinds = {name: settings["kind"] for name, settings in run.settings["baselines"].items()}
    return report_content({"name": run.name, "kinds": kinds, "evaluation": run.settings["evaluation"]}, inputs)


def _copy(report: Path, folder: Path) -> Path:
    for path in report.iterdir():
        if path.suffix in (".md", ".png", ".svg") and path.name != "summary.md":
            shutil.copy2(path, folder / path.name)
    return folder / "report.md"

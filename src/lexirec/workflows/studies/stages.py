"""The stages of one run of a study: those of its experiment up to the evaluations, and what the study measures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from lexirec.pipeline import graph as pipeline
from lexirec.pipeline.runner import Line, Reached, Step
from lexirec.workflows.studies.cost import CostSettings, measure_cost
from lexirec.workflows.studies.design import StudyRun
from lexirec.workflows.studies.meaning import MeaningSettings, measure_meaning
from lexirec.workflows.studies.settings import StudySettings

VERSIONS: Mapping[str, int] = {**pipeline.VERSIONS, "cost": 1, "meaning": 1}
"""Versions of the stages, those of studies among them."""


def walk_run(settings: StudySettings, run: StudyRun, line: Line) -> dict[str, Step]:
    """Take every step of a run; steps by their names.

    Reports of single experiments are left out: the study has its own.
    """
    line.until = "evaluation"
    with suppress(Reached):
        pipeline.walk(run.experiment, line)
    line.until = None
    steps = {step.name: step for step in line.steps}
    if "meaning" in settings.measures:
        given = {name: steps.get(name) for name in ("data", "codes", "identifiers", "neighbors")}
        line.step("meaning", measure_meaning, MeaningSettings(), given)
    if "cost" in settings.measures:
        given = {"data": steps["data"], "recommender": recommender_step(settings, steps)}
        line.step("cost", measure_cost, CostSettings(), given)
    return {step.name: step for step in line.steps}


def recommender_step(settings: StudySettings, steps: Mapping[str, Step]) -> Step:
    """Return the step that makes the recommender that is studied."""
    name = settings.recommender
    return next(steps[known] for known in (name, f"baselines.{name}", f"fused.{name}") if known in steps)

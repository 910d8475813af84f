"""Studies: one experiment in many variants, with seeds, run as one and told in one report."""

from lexirec.studies.design import Row, Study, StudyRun, load_study
from lexirec.studies.planning import StudyPlan, plan_study
from lexirec.studies.running import Outcome, run_study
from lexirec.studies.settings import Axis, StudySettings

__all__ = [
    "Axis",
    "Outcome",
    "Row",
    "Study",
    "StudyPlan",
    "StudyRun",
    "StudySettings",
    "load_study",
    "plan_study",
    "run_study",
]

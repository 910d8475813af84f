"""Reports: already computed numbers become tables for the terminal, a Markdown page and figures. No torch here."""

from lexirec.report.content import (
    Breakdown,
    LearningCurve,
    LevelCensus,
    Listing,
    ReportContent,
    Shopper,
    Standing,
    Suggestion,
    SystemResult,
    standings,
)
from lexirec.report.groups import by_groups, by_history, by_popularity
from lexirec.report.terminal import metrics_table, protocol_table, shopper_panel
from lexirec.report.writing import write_report

__all__ = [
    "Breakdown",
    "LearningCurve",
    "LevelCensus",
    "Listing",
    "ReportContent",
    "Shopper",
    "Standing",
    "Suggestion",
    "SystemResult",
    "by_groups",
    "by_history",
    "by_popularity",
    "metrics_table",
    "protocol_table",
    "shopper_panel",
    "standings",
    "write_report",
]

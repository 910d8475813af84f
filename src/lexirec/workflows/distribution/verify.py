"""Evaluate a recommender again and compare every metric with a file of figures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.remeasure import Evaluated, as_report, evaluated, measure_again
from lexirec.pipeline.results import incomparable, protocol_difference

TREATMENTS = ("excluded", "included")
_NAME = re.compile(r"(?P<name>[a-z]+)@(?P<k>\d+)")
_ALIASES = {"r": "recall", "hr": "recall", "h": "recall", "hit": "recall", "n": "ndcg", "m": "mrr"}
"""Other names of metrics; with one target per case the hit rate is the recall."""


@dataclass(frozen=True)
class Row:
    """One metric, stored and measured.

    Attributes:
        metric: such as `recall@10`.
        seen: treatment of seen items.
        stored: value of the file.
        measured: value of now.
        allowed: greatest absolute difference: tolerance · |stored|.
    """

    metric: str
    seen: str
    stored: float
    measured: float
    allowed: float

    @property
    def difference(self) -> float:
        """Measured less stored."""
        return self.measured - self.stored

    @property
    def alike(self) -> bool:
        """Whether the difference is allowed."""
        return abs(self.difference) <= self.allowed * (1 + 1e-9)


@dataclass(frozen=True)
class Verification:
    """All metrics that were compared, and why others were not: their names in the file -> why."""

    rows: Sequence[Row]
    left_out: Mapping[str, str]

    @property
    def beyond(self) -> list[Row]:
        """The metrics whose difference is not allowed, the relatively greatest first."""
        apart = [row for row in self.rows if not row.alike]
        return sorted(apart, key=lambda row: -abs(row.difference) / (abs(row.stored) or 1e-12))

    def check(self, tolerance: float) -> None:
        """Raise DataError where a difference is not allowed."""
        if not self.beyond:
            return
        worst = self.beyond[0]
        raise DataError(
            f"{len(self.beyond)} of {len(self.rows)} metrics differ by more than {tolerance:g} of their stored value; "
            f"{worst.metric} (seen items {worst.seen}) is {worst.measured:.6g}, stored {worst.stored:.6g}"
        )


def verify_figures(
    store: Store,
    name: str,
    against: Path,
    *,
    tolerance: float = 0.01,
    wanted: str | None = None,
    data: str | None = None,
) -> Verification:
    """Evaluate a recommender again by the protocol of its card, and compare the metrics with those of a file.

    Args:
        store: of finished experiments; of an exported folder, it holds the data.
        name: of an experiment, or an exported folder.
        against: JSON: the `figures.json` of an export, a `metrics.json` of an evaluation, or plain `{"ndcg@10":
            0.05}`, which is read as the headline treatment of seen items, or `{"excluded": {…}, "included": {…}}`.
        tolerance: greatest difference as a share of the stored value; 0 wants equal figures.
        wanted: one of the experiment's recommenders.
        data: an experiment whose data are used, where those of an exported folder have another name.

    Raises:
        ArtifactError: the data are missing or others, or the recommender is damaged.
        DataError: the file cannot be read, or none of its metrics can be compared.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise SettingsError(f"--tolerance {tolerance}: give a share of at least 0, such as 0.01")
    known = evaluated(store, name, wanted)
    headline = known.settings.seen[0] if known.settings is not None else TREATMENTS[0]
    stored, cards = read_figures(against, headline)
    further = next((seen for seen in stored if known.settings and seen not in known.settings.seen), None)
    reports = measure_again(store, known, data=data, seen=further)
    for seen, card in cards.items():
        difference = protocol_difference(card, reports[seen].protocol) if seen in reports else None
        if difference is not None and not _other_columns(known, card, difference):
            raise incomparable(str(against), name, difference)
    return _compared(stored, {seen: report.metrics for seen, report in reports.items()}, tolerance, against)


def read_figures(file: Path, headline: str) -> tuple[dict[str, dict[str, Any]], dict[str, Mapping[str, Any]]]:
    """Return the figures of a file by the treatment of seen items, and the protocol cards that come with them.

    Raises:
        DataError: it cannot be read, or holds no figures.
    """
    try:
        values = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"--against {file}: it cannot be read ({error.strerror}); give a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"--against {file}: it is no JSON ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict) or not values:
        raise DataError(f'--against {file}: give an figures.json, a metrics.json, or plain {{"ndcg@10": 0.05}}')
    try:
        return _figures(values, headline)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"--against {file}: it is not what lexirec writes ({error!r})") from None


def _figures(
    values: Mapping[str, Any], headline: str
) -> tuple[dict[str, dict[str, Any]], dict[str, Mapping[str, Any]]]:
    if "reports" in values:
        reports = {seen: as_report(each) for seen, each in values["reports"].items()}
        return {seen: dict(each.metrics) for seen, each in reports.items()}, {
            seen: each.protocol for seen, each in reports.items()
        }
    if "metrics" in values and "protocol" in values:
        report = as_report({"invalid": 0, **values})
        seen = "excluded" if report.protocol.get("exclude_seen") else "included"
        return {seen: dict(report.metrics)}, {seen: report.protocol}
    if set(values) <= set(TREATMENTS):
        return {seen: dict(each) for seen, each in values.items()}, {}
    return {headline: dict(values)}, {}


def _compared(
    stored: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, Mapping[str, float]],
    tolerance: float,
    against: Path,
) -> Verification:
    rows, left_out = [], {}
    for seen, figures in stored.items():
        for given, value in figures.items():
            label = given if len(stored) == 1 else f"{given} (seen items {seen})"
            metric = metric_name(given)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                left_out[label] = "its value is no number"
            elif metric not in measured.get(seen, {}):
                left_out[label] = f"not measured here; there are {', '.join(measured.get(seen, {})) or 'none'}"
            else:
                rows.append(Row(metric, seen, float(value), measured[seen][metric], tolerance * abs(value)))
    if not rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise DataError(f"--against {against}: none of its metrics can be compared ({reasons})")
    return Verification(rows, left_out)


def metric_name(given: str) -> str:
    """Return our name of a metric: `N@10` is `ndcg@10`, `HR@5` is `recall@5`; others stay as they are."""
    match = _NAME.fullmatch(given.strip().lower())
    if match is None:
        return given
    return f"{_ALIASES.get(match['name'], match['name'])}@{match['k']}"


def _other_columns(known: Evaluated, card: Mapping[str, Any], difference: str) -> bool:
    """Say whether two protocols differ by the digest of catalogues alone, of which an export has fewer columns."""
    alone = all(part.startswith("catalog ") for part in difference.split(", "))
    return alone and any(report.protocol.get("catalog") == card.get("catalog") for report in known.reports.values())

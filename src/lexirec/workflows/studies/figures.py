"""Figures of a study's report, drawn from its findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lexirec.reporting.content import Breakdown, seen_in_words
from lexirec.reporting.cost_figures import cost_figure, growth_figure
from lexirec.reporting.forest import LEGEND, Effect, forest_figure, p_text, signed
from lexirec.reporting.page import Picture
from lexirec.reporting.study_figures import (
    Curve,
    Look,
    Mark,
    Role,
    curves_figure,
    groups_figure,
    lines_figure,
    looks,
    places_figure,
    rows_figure,
)
from lexirec.training.arguments import METRIC
from lexirec.workflows.studies.findings import Finding
from lexirec.workflows.studies.learning import validations
from lexirec.workflows.studies.settings import StudySettings

_GROWTH: Mapping[str, tuple[str, float]] = {
    "training seconds per step": ("training step, seconds", 1),
    "training operations per step": ("training step, operations", 1),
    "training growth mebibytes": ("training step, memory (MiB)", 1),
    "decoding seconds per user alone": ("one user, seconds", 1),
    "decoding operations per user": ("one user, operations", 1),
    "decoding growth mebibytes": ("one user, memory (MiB)", 1),
    "decoding catalogue seconds": ("catalogue once, seconds", 1),
    "training operations per epoch": ("training epoch, operations", 1),
    "size bytes": ("weights and tables (MiB)", 2**-20),
}
"""Cost figure -> title of its panel and factor of its unit, in order."""


def role(finding: Finding) -> Role:
    """Return the role of a row in the study."""
    return "baseline" if finding.baseline else "reference" if finding.reference else "variant"


def looks_of(findings: Iterable[Finding]) -> dict[str, Look]:
    """Assign every row its look, the same in all figures and for all data sets."""
    return looks({each.label: role(each) for each in findings})


def bars(settings: StudySettings, here: Sequence[Finding], name: str, level: float) -> Picture:
    """Draw the rows of one data set under one treatment of seen items."""
    metrics = [metric for metric in settings.metrics if all(metric in each.estimates for each in here)][:2]
    panels = {
        metric: [
            Mark(each.label, estimate.value, estimate.interval, estimate.seeds, role(each))
            for each in here
            for estimate in [each.estimates[metric]]
        ]
        for metric in metrics
    }
    words = f"{' and '.join(metrics)} of every row, {seen_in_words(here[0].seen)}"
    return Picture(name, rows_figure(panels, level=level), words + _on(here[0].data))


def differences(settings: StudySettings, here: Sequence[Finding], name: str, level: float) -> Picture | None:
    """Draw each row's difference from the reference, with its interval."""
    effects = []
    for each in here:
        if each.difference is None or each.adjusted is None:
            continue
        note = f"{signed(each.difference.value)}, p {p_text(each.adjusted)}"
        effects.append(Effect(each.label, each.difference.value, each.difference.interval, each.verdict(level), note))
    reference = next((each.label for each in here if each.reference), None)
    if not effects or reference is None:
        return None
    label = f"difference of {settings.metrics[0]}, p after Holm, {seen_in_words(here[0].seen)}"
    figure = forest_figure(effects, title=f"Compared with “{reference}”", label=label, legend=LEGEND)
    return Picture(
        name, figure, f"Differences of {settings.metrics[0]} from “{reference}” with their intervals{_on(here[0].data)}"
    )


def over_axis(settings: StudySettings, here: Sequence[Finding], axis: str, name: str) -> Picture | None:
    """Draw the metrics over a numeric axis, a line per combination of the other axes."""
    numbers = settings.axes[axis].numbers
    if numbers is None:
        return None
    lines: dict[tuple[tuple[str, str], ...], list[Finding]] = {}
    for each in here:
        if not each.baseline:
            others = tuple((other, label) for other, label in each.members[0].row.chosen.items() if other != axis)
            lines.setdefault(others, []).append(each)
    lines = {
        others: sorted(points, key=lambda one: numbers[one.members[0].row.chosen[axis]])
        for others, points in lines.items()
        if len(points) > 1
    }
    if not lines:
        return None
    panels = {
        metric: [
            _line(
                points,
                metric,
                axis,
                numbers,
                _line_name(settings, others, settings.recommender if len(lines) == 1 else ""),
            )
            for others, points in lines.items()
        ]
        for metric in settings.metrics[:2]
    }
    across = {metric: {each.label: each.estimates[metric].value for each in here if each.baseline} for metric in panels}
    title = settings.axes[axis].title or axis.replace("_", " ")
    return Picture(
        name,
        lines_figure(panels, label=title, lines=across),
        f"{' and '.join(panels)} by {title}{_on(here[0].data)}; bands are intervals",
    )


def _line(points: Sequence[Finding], metric: str, axis: str, numbers: Mapping[str, float], name: str) -> Curve:
    estimates = [each.estimates[metric] for each in points]
    return Curve(
        name,
        [numbers[each.members[0].row.chosen[axis]] for each in points],
        [estimate.value for estimate in estimates],
        [estimate.interval[0] for estimate in estimates],
        [estimate.interval[1] for estimate in estimates],
    )


def _line_name(settings: StudySettings, others: Sequence[tuple[str, str]], alone: str) -> str:
    return alone or ", ".join(f"{settings.axes[name].title or name} {label}" for name, label in others)


def learning(here: Sequence[Finding], look: Mapping[str, Look], name: str) -> Picture | None:
    """Draw the learning curve of every row that has one."""
    curves: dict[str, list[Curve]] = {}
    for each in here:
        for member in each.members:
            points = validations(member.curve)
            if len(points) > 1:
                curve = Curve(each.label, [x for x, _ in points], [y for _, y in points])
                curves.setdefault(each.label, []).append(curve)
    if not curves:
        return None
    figure = curves_figure(curves, look, metric=METRIC.replace("_", " "))
    return Picture(name, figure, f"Learning curves, a line per seed{_on(here[0].data)}")


def against_cost(
    settings: StudySettings, here: Sequence[Finding], look: Mapping[str, Look], name: str
) -> Picture | None:
    """Draw the first metric against training seconds, number of weights, and seconds per user."""
    metric = settings.metrics[0]
    costs = {
        "training, seconds": lambda one: one.own.seconds,
        "weights": lambda one: one.parameters,
        "one user, seconds": lambda one: one.seconds_per_user,
    }
    panels = {}
    for title, cost in costs.items():
        points = {each.label: (_mean(map(cost, each.members)), each.estimates[metric].value) for each in here}
        known = {label: (x, y) for label, (x, y) in points.items() if x is not None}
        if known:
            panels[title] = known
    if not panels:
        return None
    return Picture(name, cost_figure(panels, look, metric=metric), f"{metric} against cost{_on(here[0].data)}")


def growth(settings: StudySettings, here: Sequence[Finding], axis: str, name: str) -> Picture | None:
    """Draw the measured costs over a numeric axis, the other axes as in the reference."""
    numbers = settings.axes[axis].numbers
    if numbers is None:
        return None
    alone = {other: each.compared_with for other, each in settings.axes.items() if other != axis}
    rows = [
        each
        for each in here
        if not each.baseline and all(each.members[0].row.chosen[other] == label for other, label in alone.items())
    ]
    rows = sorted(
        (each for each in rows if each.members[0].cost), key=lambda each: numbers[each.members[0].row.chosen[axis]]
    )
    if len(rows) < 2:
        return None
    x = [numbers[each.members[0].row.chosen[axis]] for each in rows]
    panels = {
        "training, total seconds": Curve(
            "", x, [_mean(one.own.seconds for one in each.members) or 0.0 for each in rows]
        )
    }
    panels["training, peak memory (MiB)"] = Curve(
        "", x, [(_mean(one.own.peak_memory for one in each.members) or 0.0) / 2**20 for each in rows]
    )
    for cost, (title, unit) in _GROWTH.items():
        found = [_mean(one.cost.get(cost) for one in each.members) for each in rows]
        if all(value is not None for value in found):
            panels[title] = Curve("", x, [value * unit for value in found if value is not None])
    title = settings.axes[axis].title or axis.replace("_", " ")
    return Picture(name, growth_figure(panels, label=title), f"Cost by {title}{_on(here[0].data)}")


def meaning(here: Sequence[Finding], look: Mapping[str, Look], of: str, name: str) -> Picture | None:
    """Draw how identifiers, codes or neighbours agree with categories and with the next item, beside chance.

    Rows with equal figures, because they share these stages, are one line.
    """
    panels: dict[str, list[Curve]] = {}
    labels: dict[str, list[str]] = {}
    for each in here:
        measures = list(_measures(each, of))
        if measures:
            labels.setdefault(repr(measures), []).append(each.label)
    for each in here:
        measures = list(_measures(each, of))
        alike = labels.get(repr(measures), [])
        if not alike or alike[0] != each.label:
            continue
        shown = each.label if len(alike) == 1 else f"{each.label} and {len(alike) - 1} equal rows"
        for measure, values, chances in measures:
            x = sorted(values)
            curve = Curve(each.label, x, [values[at] for at in x], chance=[chances[at] for at in x], shown=shown)
            panels.setdefault(measure, []).append(curve)
    if not panels:
        return None
    label = {"identifiers": "tokens of the identifier", "codes": "levels of the codes"}.get(of, "neighbours")
    what = of.replace("neighbors", "neighbours")
    words = f"Agreement of {what} with categories and with the next item{_on(here[0].data)}; thin dashes: by chance"
    return Picture(name, places_figure(panels, look, label=label), words)


def _measures(finding: Finding, of: str) -> Iterable[tuple[str, dict[int, float], dict[int, float]]]:
    """Yield each measure with its values and chance levels by position, means over seeds."""
    found = [each for member in finding.members for each in member.meaning if each.of == of]
    for measure in dict.fromkeys(each.measure for each in found):
        places = sorted({each.place for each in found if each.measure == measure})
        chosen = {
            place: [each for each in found if each.measure == measure and each.place == place] for place in places
        }
        values = {place: float(np.mean([each.value for each in some])) for place, some in chosen.items()}
        yield measure, values, {place: float(np.mean([each.chance for each in some])) for place, some in chosen.items()}


def groups_of(here: Sequence[Finding], place: int) -> Breakdown | None:
    """Return one breakdown with all rows, means over seeds; rows with different groups are left out."""
    grouped = [each for each in here if len(each.members[0].groups) > place]
    if not grouped:
        return None
    first = grouped[0].members[0].groups[place]
    alike = [each for each in grouped if each.members[0].groups[place].groups == first.groups]
    values = {
        each.label: np.mean([member.groups[place].values[member.label] for member in each.members], axis=0).tolist()
        for each in alike
    }
    return Breakdown(first.title, first.metric, first.groups, first.cases, values, first.note)


def groups(breakdown: Breakdown, here: Sequence[Finding], name: str) -> Picture:
    """Draw a breakdown: rows by groups of cases."""
    roles = {each.label: role(each) for each in here}
    panels = {
        f"{group} ({cases:,})": [
            Mark(label, values[place], (values[place], values[place]), (), roles[label])
            for label, values in breakdown.values.items()
        ]
        for place, (group, cases) in enumerate(zip(breakdown.groups, breakdown.cases, strict=True))
    }
    words = f"{breakdown.metric} by {breakdown.title}{_on(here[0].data)}; in brackets the number of cases"
    return Picture(name, groups_figure(panels, metric=breakdown.metric), words)


def _on(data: str) -> str:
    return f", {data}" if data else ""


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

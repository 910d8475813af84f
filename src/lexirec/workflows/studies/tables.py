"""Tables and summary sentences of a study's findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lexirec.evaluation.bootstrap import STANDARD
from lexirec.evaluation.verdicts import FEW_SEEDS, Verdict, enough
from lexirec.reporting.content import number, seen_in_words
from lexirec.reporting.cost_figures import short_number
from lexirec.reporting.forest import p_text, signed
from lexirec.reporting.page import Cell, Grid, Tone
from lexirec.workflows.studies.collect import StageCost
from lexirec.workflows.studies.findings import Finding
from lexirec.workflows.studies.plan import duration
from lexirec.workflows.studies.settings import StudySettings

_TONES: dict[Verdict, Tone] = {"above": "good", "below": "bad"}
_MEBIBYTE = 2**20


def said(settings: StudySettings, here: Sequence[Finding], comparisons: int) -> Iterator[str]:
    """Yield sentences on the best row and on significant and open differences in one data set.

    Args:
        settings: settings of the study.
        here: findings with seen items as in the headline.
        comparisons: number of comparisons in the whole study.
    """
    metric, on = settings.metrics[0], f"On {here[0].data}, " if here[0].data else ""
    ranked = [each for each in here if metric in each.estimates and not each.unlike]
    if ranked:
        best = max(ranked, key=lambda each: each.estimates[metric].value)
        value = number(best.estimates[metric].value)
        yield f"{on or 'Overall, '}“{best.label}” has the best {metric}, {value} ({seen_in_words(best.seen)})."
    reference = next((each.label for each in here if each.reference), None)
    for side in ("above", "below"):
        shown = [each for each in here if each.verdict(STANDARD.level) == side]
        few = [each for each in here if each.verdict(STANDARD.level) == f"{side} in these users"]
        if shown:
            yield f"{on or 'Found: '}shown to be {side} “{reference}”: {_names(shown)}."
        if few:
            yield f"{on or 'Found: '}{side} “{reference}” in these users, fewer than three seeds: {_names(few)}."
    tested = [(each, each.difference) for each in here if each.difference is not None and each.adjusted is not None]
    unclear = [(each, difference) for each, difference in tested if each.verdict(STANDARD.level) == "open"]
    if unclear:
        least = max(difference.detectable(comparisons=max(1, comparisons)) for _, difference in unclear)
        names = "; ".join(f"“{each.label}”" for each, _ in unclear)
        yield (
            f"{on or 'Open: '}no difference from “{reference}” is shown for {names}. The minimum detectable "
            f"difference, with 80 % power, is {number(least)}."
        )


def _names(findings: Sequence[Finding]) -> str:
    return "; ".join(f"“{each.label}” by {by(each)}" for each in findings)


def by(finding: Finding) -> str:
    """Format a difference, absolute and relative to the reference: +.0042 (+3.1 %)."""
    assert finding.difference is not None
    relative = f"{finding.difference.relative:+.1%}".replace("-", "−").replace("%", " %")
    return f"{signed(finding.difference.value)} ({relative})"


def results_table(settings: StudySettings, here: Sequence[Finding]) -> Grid:
    """Table of the rows of one data set under one treatment of seen items."""
    metrics, first = settings.metrics, settings.metrics[0]
    compared = any(each.difference is not None for each in here)
    header = ["", *metrics, *([f"Δ {first}", "p"] if compared else []), "seeds"]
    best = {
        metric: max(
            (each.estimates[metric].value for each in here if metric in each.estimates and not each.unlike),
            default=None,
        )
        for metric in metrics
    }
    rows: list[list[Cell | str]] = [
        [
            _name(each),
            *(_value(each, metric, best[metric]) for metric in metrics),
            *(_difference(each) if compared else []),
            str(len(each.members)),
        ]
        for each in here
    ]
    level = f"{STANDARD.level:.0%}".replace("%", " %")
    notes = [f"± is the standard deviation over seeds; below is the {level} interval over users and seeds."]
    notes += [f"Δ is the difference of {first} from the reference, p its p-value after Holm."] if compared else []
    few = compared and not all(enough(each.seeds) for each in here if each.difference is not None)
    notes += [f"{FEW_SEEDS[0].upper()}{FEW_SEEDS[1:]}."] if few else []
    notes += [f"“{each.label}” is not compared: {each.unlike}." for each in here if each.unlike]
    return Grid(header, rows, " ".join(notes))


def _name(finding: Finding) -> Cell:
    under = "reference" if finding.reference else "baseline" if finding.baseline else ""
    return Cell(finding.label, under, "strong" if finding.reference else "")


def _value(finding: Finding, metric: str, best: float | None) -> Cell:
    estimate = finding.estimates.get(metric)
    if estimate is None:
        return Cell("–")
    spread = f" ± {number(estimate.spread)}" if estimate.spread is not None else ""
    interval = " … ".join(number(end).replace("-", "−") for end in estimate.interval)
    return Cell(number(estimate.value) + spread, interval, "strong" if estimate.value == best else "")


def _difference(finding: Finding) -> list[Cell]:
    if finding.difference is None:
        return [Cell("" if finding.reference else "–"), Cell("")]
    low, high = finding.difference.interval
    p = "" if finding.adjusted is None else p_text(finding.adjusted)
    return [
        Cell(by(finding), f"{signed(low)} … {signed(high)}", _TONES.get(finding.verdict(STANDARD.level), "")),
        Cell(p),
    ]


# ------------------------------------------------------------------------------------------------------------- cost


def cost_table(here: Sequence[Finding]) -> Grid:
    """Table of training time, weights, time per user and peak memory of the rows."""
    rows: list[list[Cell | str]] = []
    for each in here:
        training = [one.own.seconds for one in each.members]
        user = [one.seconds_per_user for one in each.members if one.seconds_per_user is not None]
        peak = [one.own.peak_memory for one in each.members if one.own.peak_memory is not None]
        weights = each.members[0].parameters
        rows.append(
            [
                Cell(each.label),
                _seconds(sum(training) / len(training)),
                f"{weights:,}" if weights is not None else "–",
                short_number(1000 * sum(user) / len(user)) if user else "–",
                f"{max(peak) / _MEBIBYTE:,.0f}" if peak else "–",
            ]
        )
    header = ["", "training", "weights", "one user, ms", "peak memory of training, MiB"]
    return Grid(header, rows, "Times depend on the machine and on its other load.")


def _seconds(seconds: float) -> str:
    return duration(seconds) if seconds >= 9.5 else f"{seconds:.2g} s"


def stage_tables(here: Sequence[Finding]) -> Iterator[Grid]:
    """Tables of seconds, peak memory and size of every stage by row, means over seeds."""
    measures: dict[str, Callable[[StageCost], float | None]] = {
        "stage, seconds": lambda stage: stage.seconds,
        "stage, peak memory, MiB": lambda stage: None if stage.peak_memory is None else stage.peak_memory / _MEBIBYTE,
        "stage, size on disk, MiB": lambda stage: stage.bytes / _MEBIBYTE,
    }
    rows = [each for each in here if not each.baseline]
    names = list(dict.fromkeys(name for each in rows for name in each.members[0].costs))
    notes = (
        "A stage shared by several rows ran once and counts for each of them.",
        "Peak memory is that of the whole process during the stage, with libraries and data of earlier stages. “–” was "
        "not measured.",
        "",
    )
    for (title, measure), note in zip(measures.items(), notes, strict=True):
        yield Grid(
            [title, *names], [[each.label, *(_mean(each, name, measure) for name in names)] for each in rows], note
        )


def _mean(finding: Finding, stage: str, measure: Callable[[StageCost], float | None]) -> str:
    measured = [measure(one.costs[stage]) for one in finding.members if stage in one.costs]
    known = [value for value in measured if value is not None]
    return short_number(sum(known) / len(known)) if known else "–"

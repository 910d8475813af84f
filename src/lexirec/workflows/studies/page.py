"""The report of a study, from its findings to a page of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lexirec.core.runs import OWN
from lexirec.evaluation.bootstrap import STANDARD
from lexirec.reporting.content import number, seen_in_words
from lexirec.reporting.page import Block, Bullets, Cell, Commands, Grid, Heading, Page, Text
from lexirec.reporting.study_figures import Look
from lexirec.reporting.tables import in_words
from lexirec.workflows.studies import figures
from lexirec.workflows.studies.findings import Finding
from lexirec.workflows.studies.run import Outcome
from lexirec.workflows.studies.settings import StudySettings
from lexirec.workflows.studies.tables import cost_table, results_table, said, stage_tables

_OWN_CARD = ("recommender", "search", "length_penalty", "settings", "seed")
"""Fields of a protocol that belong to one recommender."""


@dataclass(frozen=True)
class _Told:
    """What the parts of the page are made of."""

    settings: StudySettings
    outcome: Outcome
    findings: Sequence[Finding]
    look: Mapping[str, Look]

    def of(self, data: str, seen: str | None = None) -> list[Finding]:
        """Return the rows of a data set under one treatment of seen items, by default the headline's."""
        here = [each for each in self.findings if each.data == data]
        wanted = seen or (here[0].seen if here else "")
        return [each for each in here if each.seen == wanted]

    @property
    def data(self) -> list[str]:
        """Data sets of which there is anything to tell."""
        return list(dict.fromkeys(each.data for each in self.findings))

    def name(self, what: str, *parts: str) -> str:
        """Return the name of a figure's file."""
        return "-".join([what, *(part.lower().replace(" ", "-").replace("_", "-") for part in parts if part)])


def study_page(outcome: Outcome, findings: Sequence[Finding]) -> Page:
    """Put together what a study's report shows."""
    settings = outcome.study.settings
    told = _Told(settings, outcome, findings, figures.looks_of(findings))
    parts = (_failures, _summary, _varied, _results, _axes, _groups, _meaning, _growth, _learning, _cost, _protocol)
    blocks: list[Block] = [block for part in (*parts, _commands, _reading) for block in part(told)]
    return Page(settings.name, _lead(told), blocks)


def _lead(told: _Told) -> str:
    rows, seeds = len(told.outcome.study.rows), len(told.settings.seeds)
    runs = f"{len(told.outcome.finished)} of {len(told.outcome.study.runs)} runs came to their end"
    counts = f"{_count(rows, 'row')}, {_count(seeds, 'seed')} each; {runs}."
    return f"{told.settings.about.strip()} {counts}".strip()


def _failures(told: _Told) -> Iterator[Block]:
    if told.outcome.failures:
        yield Text(f"{_count(len(told.outcome.failures), 'run')} failed and are missing below:", loud=True)
        yield Bullets([f"{each.run.name}, stage {each.stage}: {each.message}" for each in told.outcome.failures])


# --------------------------------------------------------------------------------------------------------- findings


def _summary(told: _Told) -> Iterator[Block]:
    """Say in words what is more than chance."""
    lines = [line for data in told.data for line in said(told.settings, told.of(data), _comparisons(told))]
    if lines:
        yield Heading("What it found")
        yield Bullets(lines)


def _comparisons(told: _Told) -> int:
    return max(1, sum(each.adjusted is not None for each in told.findings))


def _varied(told: _Told) -> Iterator[Block]:
    settings = told.settings
    if not settings.axes and not settings.data:
        return
    yield Heading("What was varied")
    one = "one at a time, the rest as in the reference" if settings.design == "one-at-a-time" else "in all combinations"
    yield Text(f"From `{settings.base.name}`, {one}. Rows in bold are what the others are compared with.")
    rows: list[list[Cell | str]] = []
    for name, axis in settings.axes.items():
        for label, overrides in axis.labelled.items():
            told_label = Cell(label, tone="strong" if label == axis.compared_with else "")
            made = " ".join(f"`{override}`" for override in overrides) or "as the base says"
            rows.append([axis.title or name.replace("_", " "), told_label, made])
    if rows:
        yield Grid(["axis", "variant", "settings"], rows, words=3)
    if settings.set:
        yield Text("For all runs: " + ", ".join(f"`{override}`" for override in settings.set) + ".")
    if settings.data:
        yield Text("On each of: " + ", ".join(told.outcome.study.data) + ".")


def _results(told: _Told) -> Iterator[Block]:
    if told.findings:
        yield Heading("Results")
    for data in told.data:
        if data:
            yield Heading(data, level=3)
        for seen in dict.fromkeys(each.seen for each in told.findings if each.data == data):
            here = told.of(data, seen)
            yield Text(f"{seen_in_words(seen).capitalize()}, {_fold(here)} fold, {_cases(here)}.")
            yield results_table(told.settings, here)
            headline = here == told.of(data)
            if headline:
                yield figures.bars(told.settings, here, told.name("rows", data), STANDARD.level)
                drawn = figures.differences(told.settings, here, told.name("differences", data), STANDARD.level)
                if drawn is not None:
                    yield drawn


def _fold(here: Sequence[Finding]) -> str:
    report = here[0].members[0].reports[here[0].seen]
    return str(report.protocol.get("fold", "test"))


def _cases(here: Sequence[Finding]) -> str:
    counts = {len(each.members[0].reports[each.seen].ranks) for each in here}
    low, high = min(counts), max(counts)
    return f"{low:,} cases" if low == high else f"{low:,} to {high:,} cases"


# ---------------------------------------------------------------------------------------------------- along the axes


def _axes(told: _Told) -> Iterator[Block]:
    drawn = [
        picture
        for data in told.data
        for axis in told.settings.axes
        if (picture := figures.over_axis(told.settings, told.of(data), axis, told.name("by", axis, data))) is not None
    ]
    if drawn:
        yield Heading("Along the axes")
        yield from drawn


def _groups(told: _Told) -> Iterator[Block]:
    """Tell metrics in groups of cases, as a table and a figure each."""
    found: list[Block] = []
    for data in told.data:
        here = told.of(data)
        for place in range(len(told.settings.groups)):
            breakdown = figures.groups_of(here, place)
            if breakdown is not None:
                heads = [f"{group}" for group in breakdown.groups]
                rows = [[name, *map(number, values)] for name, values in breakdown.values.items()]
                counts = ["cases", *(f"{count:,}" for count in breakdown.cases)]
                found.append(Grid([f"{breakdown.metric}, {breakdown.title}", *heads], [*rows, counts]))
                found.append(figures.groups(breakdown, here, told.name("by", breakdown.title, data)))
    if found:
        yield Heading("By groups of cases")
        yield from found


def _meaning(told: _Told) -> Iterator[Block]:
    found = [
        picture
        for data in told.data
        for of in ("identifiers", "codes", "neighbors")
        if (picture := figures.meaning(told.of(data), told.look, of, told.name("meaning", of, data))) is not None
    ]
    if found:
        yield Heading("Do names and neighbours carry meaning?")
        yield Text(
            "Purity: the share of items whose category is the commonest among those whose names begin alike. Beside "
            "each line stands what the same tree, or the same lists, would show on shuffled items: where the lines "
            "meet, names say nothing. Towards the end of an identifier every item is alone, and purity is 100 %."
        )
        yield from found


def _growth(told: _Told) -> Iterator[Block]:
    found = [
        picture
        for data in told.data
        for axis in told.settings.axes
        if (picture := figures.growth(told.settings, told.of(data), axis, told.name("cost-by", axis, data))) is not None
    ]
    if any(member.cost for each in told.findings for member in each.members):
        yield Heading("What it takes")
        yield Text(
            "Operations are those of PyTorch's counter: products of matrices and attention, two per multiply-add. "
            "Memory is the growth of the resident memory of a process of its own."
        )
        yield from found
        yield from (grid for data in told.data for grid in stage_tables(told.of(data)))


# ------------------------------------------------------------------------------------------------ learning and cost


def _learning(told: _Told) -> Iterator[Block]:
    found = [
        picture
        for data in told.data
        if (picture := figures.learning(told.of(data), told.look, told.name("learning", data))) is not None
    ]
    if found:
        yield Heading("Learning")
        yield from found


def _cost(told: _Told) -> Iterator[Block]:
    if not told.findings:
        return
    yield Heading("Accuracy against cost")
    for data in told.data:
        here = told.of(data)
        drawn = figures.against_cost(told.settings, here, told.look, told.name("cost", data))
        if drawn is not None:
            yield drawn
        yield cost_table(here)


# ------------------------------------------------------------------------------------------------------- how it was


def _protocol(told: _Told) -> Iterator[Block]:
    if not told.findings:
        return
    yield Heading("Protocol")
    for data in told.data:
        if data:
            yield Heading(data, level=3)
        cards = [member.reports[each.seen].protocol for each in told.of(data) for member in each.members]
        shared = {
            name: value
            for name, value in cards[0].items()
            if name not in _OWN_CARD and all(card.get(name) == value for card in cards)
        }
        rows: list[list[Cell | str]] = [
            [name.replace("_", " "), in_words(value) or "none"] for name, value in shared.items()
        ]
        yield Grid(["", "value"], rows, words=2)


def _commands(told: _Told) -> Iterator[Block]:
    yield Heading("How each row was made")
    runs = told.outcome.study.runs
    again = f"lexirec study {told.outcome.study.path}"
    yield Text(f"All of it: `{again}`. One alone, with the seed in its command:")
    yield Commands(f"{_count(len(runs), 'command')}", [(run.name, run.command) for run in runs])


def _reading(told: _Told) -> Iterator[Block]:
    yield Heading("How to read it")
    own = "the model" if told.settings.recommender in OWN else told.settings.recommender
    yield Bullets(
        [
            f"Rows are {own}, trained anew for every seed; baselines were made once, with the first seed.",
            f"Intervals and p-values come from the paired bootstrap over users with all their cases "
            f"({STANDARD.replicates:,} resamples), seeds as a factor where there are several. Two or three seeds say "
            "little about all seeds (Student's t): such intervals are wide, and honest.",
            f"Differences are tested in {told.settings.metrics[0]} alone, seen items treated as in the first table; "
            f"Holm corrects for {_count(_comparisons(told), 'comparison')}. “No difference shown” does not show that "
            "there is none.",
            "All figures, one row for every run and metric, are in `runs.parquet`.",
        ]
    )


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"

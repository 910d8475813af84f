"""The report page of a study, built from its findings."""

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
from lexirec.workflows.studies.learning import learning_table
from lexirec.workflows.studies.run import Outcome
from lexirec.workflows.studies.settings import StudySettings
from lexirec.workflows.studies.tables import cost_table, results_table, said, stage_tables

_OWN_CARD = ("recommender", "search", "length_penalty", "settings", "seed", "seeds")
"""Fields of a protocol that belong to one recommender."""


@dataclass(frozen=True)
class _Sections:
    """Inputs of the page's sections."""

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
        """Data sets with findings."""
        return list(dict.fromkeys(each.data for each in self.findings))

    def name(self, what: str, *parts: str) -> str:
        """Return the stem of a figure's file name."""
        return "-".join([what, *(part.lower().replace(" ", "-").replace("_", "-") for part in parts if part)])


def study_page(outcome: Outcome, findings: Sequence[Finding]) -> Page:
    """Return the report of a study as a page."""
    settings = outcome.study.settings
    page = _Sections(settings, outcome, findings, figures.looks_of(findings))
    parts = (_failures, _summary, _varied, _results, _axes, _groups, _meaning, _growth, _learning, _cost, _protocol)
    blocks: list[Block] = [block for part in (*parts, _commands, _reading) for block in part(page)]
    return Page(settings.name, _lead(page), blocks)


def _lead(page: _Sections) -> str:
    rows, seeds = len(page.outcome.study.rows), len(page.settings.seeds)
    runs = f"{len(page.outcome.finished)} of {len(page.outcome.study.runs)} runs finished"
    counts = f"{_count(rows, 'row')}, {_count(seeds, 'seed')} each; {runs}."
    return f"{page.settings.about.strip()} {counts}".strip()


def _failures(page: _Sections) -> Iterator[Block]:
    if page.outcome.failures:
        yield Text(f"{_count(len(page.outcome.failures), 'run')} failed and are missing below:", loud=True)
        yield Bullets([f"{each.run.name}, stage {each.stage}: {each.message}" for each in page.outcome.failures])


# --------------------------------------------------------------------------------------------------------- findings


def _summary(page: _Sections) -> Iterator[Block]:
    """Summarise the differences."""
    lines = [line for data in page.data for line in said(page.settings, page.of(data), _comparisons(page))]
    if lines:
        yield Heading("Findings")
        yield Bullets(lines)


def _comparisons(page: _Sections) -> int:
    return max(1, sum(each.adjusted is not None for each in page.findings))


def _varied(page: _Sections) -> Iterator[Block]:
    settings = page.settings
    if not settings.axes and not settings.data:
        return
    yield Heading("Variants")
    one = (
        "one at a time, the others as in the reference" if settings.design == "one-at-a-time" else "in all combinations"
    )
    yield Text(f"Variants of `{settings.base.name}`, {one}. References are in bold.")
    rows: list[list[Cell | str]] = []
    for name, axis in settings.axes.items():
        for label, overrides in axis.labelled.items():
            shown_label = Cell(label, tone="strong" if label == axis.compared_with else "")
            made = " ".join(f"`{override}`" for override in overrides) or "as in the base"
            rows.append([axis.title or name.replace("_", " "), shown_label, made])
    if rows:
        yield Grid(["axis", "variant", "settings"], rows, words=3)
    if settings.set:
        yield Text("Overrides of all runs: " + ", ".join(f"`{override}`" for override in settings.set) + ".")
    if settings.data:
        yield Text("Data sets: " + ", ".join(page.outcome.study.data) + ".")


def _results(page: _Sections) -> Iterator[Block]:
    if page.findings:
        yield Heading("Results")
    for data in page.data:
        if data:
            yield Heading(data, level=3)
        for seen in dict.fromkeys(each.seen for each in page.findings if each.data == data):
            here = page.of(data, seen)
            yield Text(f"{seen_in_words(seen).capitalize()}, {_fold(here)} fold, {_cases(here)}.")
            yield results_table(page.settings, here)
            headline = here == page.of(data)
            if headline:
                yield figures.bars(page.settings, here, page.name("rows", data), STANDARD.level)
                drawn = figures.differences(page.settings, here, page.name("differences", data), STANDARD.level)
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


def _axes(page: _Sections) -> Iterator[Block]:
    drawn = [
        picture
        for data in page.data
        for axis in page.settings.axes
        if (picture := figures.over_axis(page.settings, page.of(data), axis, page.name("by", axis, data))) is not None
    ]
    if drawn:
        yield Heading("Metrics by axis")
        yield from drawn


def _groups(page: _Sections) -> Iterator[Block]:
    """Yield a table and a figure per way to group the cases."""
    blocks: list[Block] = []
    for data in page.data:
        here = page.of(data)
        for place in range(len(page.settings.groups)):
            breakdown = figures.groups_of(here, place)
            if breakdown is not None:
                heads = [f"{group}" for group in breakdown.groups]
                rows = [[name, *map(number, values)] for name, values in breakdown.values.items()]
                counts = ["cases", *(f"{count:,}" for count in breakdown.cases)]
                blocks.append(Grid([f"{breakdown.metric}, {breakdown.title}", *heads], [*rows, counts], breakdown.note))
                blocks.append(figures.groups(breakdown, here, page.name("by", breakdown.title, data)))
    if blocks:
        yield Heading("Metrics by groups of cases")
        yield from blocks


def _meaning(page: _Sections) -> Iterator[Block]:
    blocks = [
        picture
        for data in page.data
        for of in ("identifiers", "codes", "neighbors")
        if (picture := figures.meaning(page.of(data), page.look, of, page.name("meaning", of, data))) is not None
    ]
    if blocks:
        yield Heading("Identifiers and neighbours beside categories")
        yield Text(
            "Purity: the share of items with the most frequent category among items with the same prefix. Thin dashes "
            "show the same tree, or the same lists, on shuffled items: where the lines meet, identifiers carry no "
            "information. At the end of an identifier every item is alone, and purity is 100 %."
        )
        yield from blocks


def _growth(page: _Sections) -> Iterator[Block]:
    blocks = [
        picture
        for data in page.data
        for axis in page.settings.axes
        if (picture := figures.growth(page.settings, page.of(data), axis, page.name("cost-by", axis, data))) is not None
    ]
    if any(member.cost for each in page.findings for member in each.members):
        yield Heading("Cost")
        yield Text(
            "Operations are those of PyTorch's counter: matrix products and attention, two per multiply-add. "
            "Memory is the growth of resident memory in a separate process."
        )
        yield from blocks
        yield from (grid for data in page.data for grid in stage_tables(page.of(data)))


# ------------------------------------------------------------------------------------------------ learning and cost


def _learning(page: _Sections) -> Iterator[Block]:
    blocks: list[Block] = []
    for data in page.data:
        drawn = figures.learning(page.of(data), page.look, page.name("learning", data))
        blocks += [block for block in (drawn, learning_table(page.of(data))) if block is not None]
    if blocks:
        yield Heading("Learning curves")
        yield from blocks


def _cost(page: _Sections) -> Iterator[Block]:
    if not page.findings:
        return
    yield Heading("Accuracy against cost")
    for data in page.data:
        here = page.of(data)
        drawn = figures.against_cost(page.settings, here, page.look, page.name("cost", data))
        if drawn is not None:
            yield drawn
        yield cost_table(here)


# ------------------------------------------------------------------------------------------- protocol and commands


def _protocol(page: _Sections) -> Iterator[Block]:
    if not page.findings:
        return
    yield Heading("Protocol")
    for data in page.data:
        if data:
            yield Heading(data, level=3)
        cards = [member.reports[each.seen].protocol for each in page.of(data) for member in each.members]
        shared = {
            name: value
            for name, value in cards[0].items()
            if name not in _OWN_CARD and all(card.get(name) == value for card in cards)
        }
        rows: list[list[Cell | str]] = [
            [name.replace("_", " "), in_words(value) or "none"] for name, value in shared.items()
        ]
        yield Grid(["", "value"], rows, words=2)


def _commands(page: _Sections) -> Iterator[Block]:
    yield Heading("Commands")
    runs = page.outcome.study.runs
    again = f"lexirec study {page.outcome.study.path}"
    yield Text(f"The whole study: `{again}`. Single runs:")
    yield Commands(f"{_count(len(runs), 'command')}", [(run.name, run.command) for run in runs])


def _reading(page: _Sections) -> Iterator[Block]:
    yield Heading("How to read this report")
    own = "the model" if page.settings.recommender in OWN else page.settings.recommender
    yield Bullets(
        [
            f"Rows are {own}, trained with every seed; baselines are fitted once, with the first seed.",
            f"Intervals and p-values come from the paired bootstrap over users with all their cases "
            f"({STANDARD.replicates:,} resamples), with seeds as a factor where there are several. With two or three "
            "seeds (Student's t) intervals are wide.",
            f"Differences are tested in {page.settings.metrics[0]} only, with seen items as in the first table; "
            f"Holm corrects for {_count(_comparisons(page), 'comparison')}. “No difference shown” does not show "
            "equality.",
            "A difference is shown only where every side that depends on a seed was trained with three or more.",
            "`runs.parquet` holds all figures, a row per run and metric.",
        ]
    )


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"

"""Content of a report: metrics, breakdowns, curves and texts as plain data, and standings against reference baselines.

Free of models, tensors and files. Metrics are named as by `evaluation.metrics.summarize` ("recall@10").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Protocol = Literal["excluded", "included"]
"""Whether seen items are excluded from the lists; figures of the two are never compared with each other."""

PROTOCOLS: Mapping[Protocol, str] = {"excluded": "seen items excluded", "included": "seen items kept"}


def seen_in_words(seen: str) -> str:
    """Return the words of tables for `excluded` or `included` seen items."""
    return next(words for protocol, words in PROTOCOLS.items() if protocol == seen)


HEADLINE = ("recall@10", "ndcg@10")
"""The metrics of standings and of the first figure."""


@dataclass(frozen=True)
class SystemResult:
    """One system's metrics.

    Attributes:
        name: name in tables and legends.
        excluded: metric -> value with seen items excluded; None where that was not measured.
        included: the same with seen items kept.
        floor: whether it is a reference baseline (transitions, memory), which every learned system should beat.
        main: whether the report is about this system; at most one is.
        margins: metric -> half the width of its 95 % interval (seen items excluded), drawn if present.
    """

    name: str
    excluded: Mapping[str, float] | None = None
    included: Mapping[str, float] | None = None
    floor: bool = False
    main: bool = False
    margins: Mapping[str, float] = field(default_factory=dict)

    def metrics(self, protocol: Protocol) -> Mapping[str, float]:
        """Return the metrics of one protocol, empty where it was not measured."""
        return (self.excluded if protocol == "excluded" else self.included) or {}


@dataclass(frozen=True)
class Breakdown:
    """One metric by groups of cases, for one or more systems.

    Attributes:
        title: criterion of the groups, e.g. "popularity of the target".
        metric: e.g. "recall@10".
        groups: names of the groups, in order, e.g. ("head", "tail").
        cases: number of cases in each group.
        values: system -> one value per group.
        note: definition of the groups.
    """

    title: str
    metric: str
    groups: Sequence[str]
    cases: Sequence[int]
    values: Mapping[str, Sequence[float]]
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse rows of different lengths."""
        lengths = {len(self.groups), len(self.cases), *(len(row) for row in self.values.values())}
        if len(lengths) > 1:
            raise ValueError(
                f"breakdown by {self.title}: groups, cases and values differ in length ({sorted(lengths)})"
            )


@dataclass(frozen=True)
class Listing:
    """A table with one row per system, its cells already formatted.

    Attributes:
        title: heading.
        columns: column headings.
        rows: system -> one cell per column.
        note: definition of the columns.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class LearningCurve:
    """Learning curve of a training: pairs of (step, value).

    Attributes:
        loss: training loss by step.
        validation: the metric that selected the checkpoint, by step.
        metric: name of that metric.
        best_step: step of the selected checkpoint; None where unknown.
    """

    loss: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    metric: str = "ndcg@10"
    best_step: int | None = None


@dataclass(frozen=True)
class LevelCensus:
    """Statistics of the identifier tree at one level.

    Attributes:
        level: 1 for the first token.
        cells: distinct prefixes of this length.
        tokens: distinct tokens at this position.
        largest: items in the largest cell.
        entropy: evenness of the cells in bits, at most log2(cells).
        single_child: share of the cells that have exactly one child.
    """

    level: int
    cells: int
    tokens: int
    largest: int
    entropy: float
    single_child: float


@dataclass(frozen=True)
class Suggestion:
    """One recommended item by its title."""

    title: str
    score: float | None = None
    hit: bool = False


@dataclass(frozen=True)
class Shopper:
    """One user's history and recommendations by title.

    Attributes:
        name: id of the user.
        history: titles, oldest first.
        suggestions: best first.
        target: title of the item actually bought next; None where unknown.
    """

    name: str
    history: Sequence[str]
    suggestions: Sequence[Suggestion]
    target: str | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything a report shows; empty parts are left out.

    Attributes:
        title: the heading.
        lead: summary in one or two sentences.
        systems: rows of the metrics table, in order.
        protocol: the protocol card: split, k-core, ties, beams, seed, data hash, …
        learning: the learning curve of the main system.
        breakdowns: e.g. by popularity of the target and by history length (`lexirec.reporting.breakdowns`).
        census: identifiers by level.
        shoppers: a few histories with recommendations.
        next_steps: suggestions, one Markdown sentence each.
        listings: further tables of systems, e.g. beyond-accuracy measures.
        published: published figures beside the systems (`lexirec.reporting.published_rows`).
    """

    title: str
    lead: str
    systems: Sequence[SystemResult]
    protocol: Mapping[str, Any]
    learning: LearningCurve | None = None
    breakdowns: Sequence[Breakdown] = ()
    census: Sequence[LevelCensus] = ()
    shoppers: Sequence[Shopper] = ()
    next_steps: Sequence[str] = ()
    listings: Sequence[Listing] = ()
    published: Sequence[Any] = ()

    def __post_init__(self) -> None:
        """Check that systems have distinct names and at most one is the main system."""
        check_systems(self.systems)


def check_systems(systems: Sequence[SystemResult]) -> None:
    """Raise ValueError for two systems of one name or for two main systems."""
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise ValueError(f"report: system names must be distinct, given {names}")
    if sum(system.main for system in systems) > 1:
        raise ValueError("report: at most one system can be the main system")


Verdict = Literal["above", "mixed", "below"]
_VERDICTS: tuple[Verdict, ...] = ("below", "mixed", "above")
"""By the number of headline metrics in which a system is above the best reference baseline."""

_SAYS: Mapping[Verdict, str] = {
    "below": "is below the reference baselines in these users",
    "mixed": "is not clearly above the reference baselines in these users",
    "above": "is above the reference baselines in these users",
}

_LISTED: Mapping[Verdict, str] = {
    "below": "Below the reference baselines in these users",
    "mixed": "Not clearly above the reference baselines in these users",
}

UNTESTED = (
    "One run without a test: this says nothing about other users, nor about other seeds of the training; `lexirec "
    "compare` tests differences, and shows them from three seeds on."
)
"""What standings leave out."""


@dataclass(frozen=True)
class Standing:
    """Standing of one system against the best reference baseline under one protocol.

    Attributes:
        system: its name.
        protocol: "excluded" or "included".
        verdict: "above" in both headline metrics, "below" in neither, else "mixed".
        sentence: the same as a sentence, with the numbers.
    """

    system: str
    protocol: Protocol
    verdict: Verdict
    sentence: str


def standings(systems: Sequence[SystemResult]) -> list[Standing]:
    """Compare every other system with the best reference baseline of each headline metric, per protocol."""
    results: list[Standing] = []
    for protocol in PROTOCOLS:
        references = [system for system in systems if system.floor and _has_headline(system, protocol)]
        if references:
            learned = [system for system in systems if not system.floor and _has_headline(system, protocol)]
            results.extend(_standing(system, references, protocol) for system in learned)
    return results


def summary(systems: Sequence[SystemResult]) -> list[tuple[Verdict | None, str]]:
    """Summarise the standings: the main system with its numbers, the systems that are below, and what that leaves out.

    Returns:
        Sentences, each with its verdict; the last has none.
    """
    sentences: list[tuple[Verdict | None, str]] = []
    main = {system.name for system in systems if system.main}
    for protocol, words in PROTOCOLS.items():
        here = [standing for standing in standings(systems) if standing.protocol == protocol]
        sentences.extend((each.verdict, each.sentence) for each in here if each.system in main)
        for verdict, says in _LISTED.items():
            names = [each.system for each in here if each.verdict == verdict and each.system not in main]
            if names:
                sentences.append((verdict, f"{says}, {words}: {', '.join(names)}."))
    return [*sentences, (None, UNTESTED)] if sentences else []


def _has_headline(system: SystemResult, protocol: Protocol) -> bool:
    return all(metric in system.metrics(protocol) for metric in HEADLINE)


def _standing(system: SystemResult, references: Sequence[SystemResult], protocol: Protocol) -> Standing:
    above, parts = 0, []
    for metric in HEADLINE:
        best = max(references, key=lambda reference: reference.metrics(protocol)[metric])
        ours, theirs = system.metrics(protocol)[metric], best.metrics(protocol)[metric]
        above += ours > theirs
        parts.append(f"{metric} {number(ours)} against {number(theirs)} ({best.name})")
    verdict = _VERDICTS[above]
    sentence = f"{system.name} {_SAYS[verdict]}, {PROTOCOLS[protocol]}: {', '.join(parts)}."
    return Standing(system.name, protocol, verdict, sentence)


def number(value: float | None) -> str:
    """Format a metric for tables: four decimals, no leading zero, a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def short(metric: str) -> str:
    """Abbreviate "recall@10" to "R@10" and "ndcg@10" to "N@10" for narrow tables."""
    name, _, k = metric.partition("@")
    return f"{name[:1].upper()}@{k}"

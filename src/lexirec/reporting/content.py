"""What a report is made of: plain numbers and words that somebody else has computed, and what they say about the floor.

Nothing here knows models, tensors or files. Metrics are named as by `evaluation.metrics.summarize` ("recall@10").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Protocol = Literal["excluded", "included"]
"""Whether items of the history may be recommended again: the two are never compared with each other."""

PROTOCOLS: Mapping[Protocol, str] = {"excluded": "seen items excluded", "included": "seen items kept"}


def seen_in_words(seen: str) -> str:
    """Return what tables call a treatment of seen items, `excluded` or `included`."""
    return next(words for protocol, words in PROTOCOLS.items() if protocol == seen)


HEADLINE = ("recall@10", "ndcg@10")
"""The metrics a system is judged by."""


@dataclass(frozen=True)
class SystemResult:
    """One system's metrics.

    Attributes:
        name: as it stands in tables and legends.
        excluded: metric -> value with seen items excluded; None where that was not measured.
        included: the same with seen items kept.
        floor: a simple reference (transitions, memory) that every learned system has to beat.
        main: the system the report is about; at most one.
        margins: metric -> half the width of its 95 % interval (seen items excluded), drawn where given.
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
    """One metric in groups of cases, for one or more systems.

    Attributes:
        title: what the groups divide, e.g. "popularity of the target".
        metric: e.g. "recall@10".
        groups: names of the groups, in order, e.g. ("head", "tail").
        cases: number of cases in each group.
        values: system -> one value a group.
    """

    title: str
    metric: str
    groups: Sequence[str]
    cases: Sequence[int]
    values: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        """Refuse rows of different lengths."""
        lengths = {len(self.groups), len(self.cases), *(len(row) for row in self.values.values())}
        if len(lengths) > 1:
            raise ValueError(
                f"breakdown by {self.title}: groups, cases and values differ in length ({sorted(lengths)})"
            )


@dataclass(frozen=True)
class Listing:
    """A table of words and numbers as they are to be read, systems as rows.

    Attributes:
        title: heading.
        columns: their heads.
        rows: system -> one entry a column.
        note: what the columns mean.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class LearningCurve:
    """How training went: pairs of (step, value).

    Attributes:
        loss: training loss by step.
        validation: the metric that chose the checkpoint, by step.
        metric: its name.
        best_step: the step of the checkpoint that was kept; None where it is not known.
    """

    loss: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    metric: str = "ndcg@10"
    best_step: int | None = None


@dataclass(frozen=True)
class LevelCensus:
    """The identifiers at one level of the tree.

    Attributes:
        level: 1 for the first token.
        cells: distinct prefixes of this length.
        tokens: distinct tokens at this place.
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
    """One recommended item in words."""

    title: str
    score: float | None = None
    hit: bool = False


@dataclass(frozen=True)
class Shopper:
    """A history with its recommendations, in words.

    Attributes:
        name: who it is.
        history: titles, oldest first.
        suggestions: best first.
        target: title of what was really bought next; None where unknown.
    """

    name: str
    history: Sequence[str]
    suggestions: Sequence[Suggestion]
    target: str | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything a report shows; what is empty is left out.

    Attributes:
        title: the heading.
        lead: one or two sentences that stand alone.
        systems: rows of the metrics table, in order.
        protocol: the protocol card: split, k-core, ties, beams, seed, data hash, …
        learning: the learning curve of the main system.
        breakdowns: e.g. by popularity of the target and by history length (`lexirec.reporting.breakdowns`).
        census: identifiers by level.
        shoppers: a few histories with recommendations.
        next_steps: what to try next, one Markdown sentence each.
        listings: other tables of systems, e.g. what their lists are like beyond accuracy.
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

    def __post_init__(self) -> None:
        """Refuse what could not be told apart in a table."""
        check_systems(self.systems)


def check_systems(systems: Sequence[SystemResult]) -> None:
    """Raise ValueError for two systems of one name or for two main systems."""
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise ValueError(f"two systems have the same name: {names}")
    if sum(system.main for system in systems) > 1:
        raise ValueError("at most one system can be the main one")


Verdict = Literal["above", "mixed", "below"]

_VERDICTS: tuple[Verdict, ...] = ("below", "mixed", "above")
"""By the number of headline metrics in which a system is above the best floor."""

_SAYS: Mapping[Verdict, str] = {
    "below": "loses to the floor",
    "mixed": "does not clearly beat the floor",
    "above": "beats the floor",
}

_LISTED: Mapping[Verdict, str] = {"below": "Below the floor", "mixed": "Not clearly above the floor"}


@dataclass(frozen=True)
class Standing:
    """How one system stands against the best floor under one protocol.

    Attributes:
        system: its name.
        protocol: "excluded" or "included".
        verdict: "above" in both headline metrics, "below" where it reaches the floor in neither, else "mixed".
        sentence: the same said plainly, with the numbers.
    """

    system: str
    protocol: Protocol
    verdict: Verdict
    sentence: str


def standings(systems: Sequence[SystemResult]) -> list[Standing]:
    """Judge every system that is no floor against the best floor of each headline metric, per protocol."""
    found: list[Standing] = []
    for protocol in PROTOCOLS:
        floors = [system for system in systems if system.floor and _judged(system, protocol)]
        if floors:
            others = [system for system in systems if not system.floor and _judged(system, protocol)]
            found.extend(_standing(system, floors, protocol) for system in others)
    return found


def summary(systems: Sequence[SystemResult]) -> list[tuple[Verdict, str]]:
    """Say in a few sentences how things stand: the main system with its numbers, and who loses to the floor."""
    found: list[tuple[Verdict, str]] = []
    main = {system.name for system in systems if system.main}
    for protocol, words in PROTOCOLS.items():
        judged = [standing for standing in standings(systems) if standing.protocol == protocol]
        found.extend((each.verdict, each.sentence) for each in judged if each.system in main)
        for verdict, says in _LISTED.items():
            names = [each.system for each in judged if each.verdict == verdict and each.system not in main]
            if names:
                found.append((verdict, f"{says}, {words}: {', '.join(names)}."))
    return found


def _judged(system: SystemResult, protocol: Protocol) -> bool:
    return all(metric in system.metrics(protocol) for metric in HEADLINE)


def _standing(system: SystemResult, floors: Sequence[SystemResult], protocol: Protocol) -> Standing:
    above, parts = 0, []
    for metric in HEADLINE:
        best = max(floors, key=lambda floor: floor.metrics(protocol)[metric])
        ours, theirs = system.metrics(protocol)[metric], best.metrics(protocol)[metric]
        above += ours > theirs
        parts.append(f"{metric} {number(ours)} against {number(theirs)} ({best.name})")
    verdict = _VERDICTS[above]
    sentence = f"{system.name} {_SAYS[verdict]}, {PROTOCOLS[protocol]}: {', '.join(parts)}."
    return Standing(system.name, protocol, verdict, sentence)


def number(value: float | None) -> str:
    """Write a metric as tables do: four decimals, no leading zero, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def short(metric: str) -> str:
    """Write "recall@10" as "R@10" and "ndcg@10" as "N@10" for narrow tables."""
    name, _, k = metric.partition("@")
    return f"{name[:1].upper()}@{k}"

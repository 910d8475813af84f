"""Shortcut figures of an audit: how much of the next item counting finds, before anything is trained.

Han et al. (arXiv 2605.07125) name three structures of a data set that let simple local retrieval rival learned models:
few successors per item (low branching), successors that resemble each other (smooth transitions), and little use of
long histories (short memory). They are measured here on the training part alone: the last event of a training row is
the target, and counts come from what stands before it. So no held-out event is read.

The paper argues with tables over 14 sets and names no thresholds; the measures and thresholds are ours:

- Low branching: distinct successors per item, the edges per item of the paper's transition graph. Of its 14 sets, eight
  have 3 to 13 (Amazon reviews, Yelp, LastFM and others) and six 20 to 190 (MIND, Goodreads, MovieLens, STEAM, H&M); the
  threshold lies in the gap.
- Smooth transitions: the probability that the text of the next item is nearer to the last item's than that of an item
  drawn by popularity; .5 is chance. Above .6, smoothing counts by text raised the memory on all four sets measured
  (docs/results.md); on the one below, it lowered it.
- Short memory: NDCG of counts that read two items, divided by that of counts that read all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.neighbors import Matrix, pair_counts
from lexirec.data.sequences import Sequences, bounded_slices
from lexirec.data.splits import Cases, Split
from lexirec.evaluation import metrics
from lexirec.evaluation.metrics import ranks_in_scores
from lexirec.models.baselines.base import popularity, score_batches
from lexirec.models.baselines.memory import Memory
from lexirec.models.baselines.text_neighbors import text_rows
from lexirec.workflows.audit.findings import Finding, NotLookedError

if TYPE_CHECKING:
    from lexirec.workflows.audit.evidence import Evidence

K = 10
"""Cut-off of the metrics."""
FEW_SUCCESSORS, SMOOTH, SHORT = 15.0, 0.6, 0.95
"""Thresholds of low branching (below), smooth transitions and short memory (at least); see above."""
_SAMPLE = 2_000
"""Most cases that are measured."""
_CELLS = 4_000_000
"""Most cells of second rings in memory."""
_NEWEST = 2
"""Newest items that a short history keeps, as many as the paper's heuristic reads."""
_Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: what is measured.
        value: the figure.
        reference: what to compare it with, in words.
        shortcut: whether it speaks for counting; None where it only gives the scale.
        meaning: how to read it, in a line.
    """

    name: str
    value: float
    reference: str
    shortcut: bool | None
    meaning: str


@dataclass(frozen=True)
class Shortcuts:
    """The figures, in reading order.

    Attributes:
        cases: number of cases that they were measured on.
        figures: key -> figure.
    """

    cases: int
    figures: dict[str, Figure]

    @property
    def found(self) -> list[str]:
        """Names of the structures that are there."""
        return [each.name for each in self.figures.values() if each.shortcut]

    def verdict(self) -> str:
        """Return what the figures say together."""
        asked = sum(each.shortcut is not None for each in self.figures.values())
        return f"{len(self.found)} of {asked} shortcut structures{': ' if self.found else ''}{', '.join(self.found)}"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"verdict": self.verdict(), **asdict(self)}


def inner_cases(train: Sequences, *, seed: int = 0) -> tuple[Sequences, Cases]:
    """Hold the last event of training rows back, of those with three events or more.

    Returns:
        All rows without these events, and at most 2,000 of the rows as cases, drawn at random.
    """
    long_enough = np.flatnonzero(train.lengths >= 3)
    keep = np.ones(len(train.items), dtype=np.bool_)
    keep[train.offsets[1:][long_enough] - 1] = False
    before = train.where(keep)
    rows = np.sort(np.random.default_rng(seed).permutation(long_enough)[:_SAMPLE])
    return before, Cases(rows, train.items[train.offsets[1:][rows] - 1], before.take(rows))


def measure_shortcuts(split: Split, texts: Sequence[str]) -> Shortcuts:
    """Measure the three structures, and what counts reach, on the training part.

    Args:
        split: of which only the training part is read.
        texts: one per item, in catalogue order.

    Raises:
        NotLookedError: no training row has three events.
    """
    n_items = split.n_items
    before, cases = inner_cases(split.train)
    if not len(cases):
        raise NotLookedError("no training row has three events")
    last = cases.histories.items[cases.histories.offsets[1:] - 1]
    figures = _branching(pair_counts(split.train, n_items), pair_counts(before, n_items), last, cases.targets)
    shares = popularity(before, n_items)
    smooth = _nearer_than_chance(texts, last, cases.targets, shares)
    if smooth is not None:
        figures["smooth_transitions"] = Figure(
            "smooth transitions",
            smooth,
            f".5 is chance; from {SMOOTH:.1f} on, text helps counts",
            smooth >= SMOOTH,
            "probability that the next item's text is nearer to the last item's than a popular item's is",
        )
    return Shortcuts(len(cases), figures | _counting(before, cases, shares))


def shortcut_findings(evidence: Evidence) -> Iterator[Finding]:
    """Report whether counting may solve the data, from the training part alone."""
    measured = evidence.shortcuts
    if len(measured.found) >= 2:
        yield Finding(
            "note",
            f"{measured.verdict()}; counts alone reach a recall@{K} of {measured.figures['counts'].value:.4f} within "
            "the training part",
            "a learned model may not be above counting baselines, however well it is trained; of five Amazon sets, "
            "GRAM alone was 5 to 7 % of NDCG@10 below the memory where items had 7 successors, and 5 to 6 % above it "
            "where they had 11 to 13",
            "run the baselines memory and graph-heuristic first; a model is worth its cost where it beats them",
        )


# ------------------------------------------------------------------------------------------------------------- figures


def _branching(graph: Matrix, before: Matrix, last: _Integers, targets: _Integers) -> dict[str, Figure]:
    """Return successors per item, and how often the next item is among them, or among theirs."""
    steps = before.copy()
    steps.data = np.ones_like(steps.data)
    near, far, reached = np.zeros(len(last), dtype=np.bool_), np.zeros(len(last), dtype=np.bool_), 0
    widths = np.diff(steps.indptr)
    for some in bounded_slices(np.asarray(steps @ widths)[last].astype(np.int64), _CELLS):
        row, first = np.arange(some.stop - some.start), steps[last[some]]
        rings = first + first @ steps
        near[some] = np.asarray(first[row, targets[some]]).ravel() > 0
        far[some] = np.asarray(rings[row, targets[some]]).ravel() > 0
        reached += rings.nnz
    per_item, n_items = graph.nnz / max(graph.shape[0], 1), graph.shape[0]
    share = reached / max(len(last), 1) / max(n_items, 1)
    return {
        "low_branching": Figure(
            "low branching",
            per_item,
            f"below {FEW_SUCCESSORS:.0f} is few; Amazon reviews 7 to 13, MovieLens-1M 79",
            per_item < FEW_SUCCESSORS,
            "distinct successors per item in training: the fewer, the easier to guess the next one",
        ),
        "one_hop": Figure(
            "next item one hop away",
            float(near.mean()),
            f"of {float(widths[last].mean()):,.0f} items on average",
            None,
            "share of next items that followed the last item before: what plain counts can find",
        ),
        "two_hops": Figure(
            "next item within two hops",
            float(far.mean()),
            f"of {share:.1%} of the catalogue",
            None,
            "share of next items among these and their successors: what the graph can find",
        ),
    }


def _nearer_than_chance(
    texts: Sequence[str], last: _Integers, targets: _Integers, shares: NDArray[np.float32]
) -> float | None:
    """Return how often the target's text is nearer to the last item's than a popular item's; None without words."""
    try:
        rows = text_rows(texts)
    except DataError:
        return None
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    total = 0.0
    for some in score_batches(len(last), len(shares)):
        cosines = np.asarray((rows[last[some]] @ rows.T).toarray()) * inverse
        own = cosines[np.arange(len(some)), targets[some], None]
        total += float(((cosines < own) @ shares + 0.5 * ((cosines == own) @ shares)).sum())
    return total / len(last)


def _counting(before: Sequences, cases: Cases, shares: NDArray[np.float32]) -> dict[str, Figure]:
    """Return what counts reach, and how much of it without long histories."""
    memory = Memory().fit(before, len(shares))
    whole, short = np.empty(len(cases), dtype=np.int64), np.empty(len(cases), dtype=np.int64)
    for some in score_batches(len(cases), len(shares)):
        histories = cases.histories.take(some)
        whole[some] = ranks_in_scores(memory.scores(histories), cases.targets[some])
        short[some] = ranks_in_scores(memory.scores(histories.last(_NEWEST)), cases.targets[some])
    all_of_it = metrics.ndcg(whole, K)
    kept = metrics.ndcg(short, K) / all_of_it if all_of_it else 0.0
    popular = np.isin(cases.targets, np.argsort(-shares, kind="stable")[:K])
    return {
        "short_memory": Figure(
            "short memory",
            kept,
            f"from {SHORT:.2f} on, the newest items suffice",
            kept >= SHORT,
            f"NDCG@{K} of counts that read the newest {_NEWEST} items, divided by that of counts that read all",
        ),
        "counts": Figure(
            f"recall@{K} of counts",
            metrics.recall(whole, K),
            f"popularity {float(popular.mean()):.4f}",
            None,
            "what counts alone (M0, no text) reach: the bar for a model",
        ),
    }

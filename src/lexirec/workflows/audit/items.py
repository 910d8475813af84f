"""Items: identifiers they share, twins, items nobody bought before, filters and ties that favour some of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lexirec.core.progress import track
from lexirec.data.splits import TRAIN
from lexirec.models.baselines.memory import TRANSITIONS, Memory
from lexirec.semantic_ids.embeddings.item_embeddings import concatenate
from lexirec.workflows.audit.evidence import Evidence, rows_of
from lexirec.workflows.audit.findings import Finding, percent

_ALIKE = 0.95
_MOST_TARGETS = 5000
_SAMPLE = 2000
_BLOCK = 1 << 24
_MANY_TWINS = 0.01


def shared_identifiers(evidence: Evidence) -> Iterator[Finding]:
    """Count items that share a semantic ID, and what counting by semantic ID would add to recall."""
    names = evidence.semantic_ids
    if names is None:
        names = evidence.need("identifiers").tokens
    _, group, sizes = np.unique(names, axis=0, return_inverse=True, return_counts=True)
    shared = sizes[group.ravel()] > 1
    if not shared.any():
        return
    targets = evidence.split.test.targets
    hit = np.flatnonzero(shared[targets])
    share = len(hit) / max(len(targets), 1)
    yield Finding(
        "note",
        f"{int(shared.sum()):,} of {len(names):,} items ({percent(float(shared.mean()))}) share a semantic ID with "
        f"another, up to {int(sizes.max())} items one; {len(hit):,} of {len(targets):,} test targets "
        f"({percent(share)}) do",
        f"figures per semantic ID, as reference implementations count, exceed those per item by at most {share:.4f} "
        f"of recall{_gained(evidence)}; ours are per item",
        "compare figures per item with figures per item only",
        share,
        evidence.case_names(evidence.split.test, hit),
    )


def _gained(evidence: Evidence) -> str:
    gains = [
        report.identifier_metrics["recall@10"] - report.metrics["recall@10"]
        for of_seen in evidence.reports.values()
        for report in of_seen.values()
        if report.identifier_metrics is not None and "recall@10" in report.metrics
    ]
    return f" (measured at 10: {max(gains):+.4f})" if gains else ""


def twins(evidence: Evidence) -> Iterator[Finding]:
    """Count test targets with a near-duplicate: in their history, and in the catalogue."""
    cases, groups = evidence.split.test, _titles(evidence)
    pairs = _alike(evidence)
    rows = rows_of(cases)
    target, told = cases.targets[rows].astype(np.int64), cases.histories.items.astype(np.int64)
    namesake = (groups[target] == groups[told]) & (target != told)
    alike = np.isin(target * evidence.n_items + told, pairs)
    hit, named = np.unique(rows[namesake | alike]), len(np.unique(rows[namesake]))
    sizes = np.bincount(groups)
    has_one = (sizes[groups] > 1)[cases.targets] | np.isin(cases.targets, pairs // evidence.n_items)
    share, all_share = len(hit) / max(len(cases), 1), float(has_one.mean()) if len(cases) else 0.0
    if not has_one.any():
        return
    yield Finding(
        "distortion" if share >= _MANY_TWINS else "note",
        f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}) have a twin in their history ({named:,} of "
        f"the same title, others by a cosine above {_ALIKE}); {percent(all_share)} have one in the catalogue"
        + ("" if evidence.vectors else "; titles only were compared"),
        f"up by at most {share:.3f} of recall for models that read text, as a twin of what was taken is found by its "
        f"words and is no seen item; down by at most {all_share:.3f} for all, as a twin of the target counts as a miss",
        "merge variants of an item, or report the cases without twins beside the whole",
        share,
        evidence.case_names(cases, hit),
    )


def _titles(evidence: Evidence) -> NDArray[np.int64]:
    """Group items by their titles without case, blanks and punctuation: int64 (I,); empty titles are groups of one."""
    names = evidence.catalog.table.column_names
    titles = pa.array(
        evidence.catalog.field("title" if "title" in names else evidence.catalog.text_fields[0]), pa.string()
    )
    plain = pc.replace_substring_regex(pc.utf8_lower(titles), r"[^\pL\pN]+", "")
    groups: NDArray[np.int64] = plain.dictionary_encode().indices.to_numpy().astype(np.int64)
    empty = np.flatnonzero(pc.equal(plain, "").to_numpy(zero_copy_only=False))
    groups[empty] = groups.max(initial=0) + 1 + np.arange(len(empty))
    return groups


def _alike(evidence: Evidence) -> NDArray[np.int64]:
    """Return target × items + twin for test targets (at most 5,000 of them) with vectors alike: int64 (pairs,)."""
    if not evidence.vectors:
        return np.empty(0, dtype=np.int64)
    vectors = concatenate(list(evidence.vectors.values()))
    targets = np.unique(evidence.split.test.targets).astype(np.int64)
    if len(targets) > _MOST_TARGETS:
        targets = np.sort(np.random.default_rng(0).choice(targets, _MOST_TARGETS, replace=False))
    found, size = [np.empty(0, dtype=np.int64)], max(1, _BLOCK // max(len(vectors), 1))
    for first in track(range(0, len(targets), size), "looking for twins"):
        some = targets[first : first + size]
        row, other = np.nonzero(vectors[some] @ vectors.T > _ALIKE)
        apart = some[row] != other
        found.append(some[row[apart]] * evidence.n_items + other[apart])
    return np.concatenate(found)


def never_trained(evidence: Evidence) -> Iterator[Finding]:
    """Count test targets and test users that training has never seen."""
    cases = evidence.split.test
    cold = evidence.split.train.counts(evidence.n_items)[cases.targets] == 0
    strangers = ~np.isin(cases.users, evidence.split.train_users)
    if cold.any():
        share, hit = float(cold.mean()), np.flatnonzero(cold)
        yield Finding(
            "note",
            f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}, {len(np.unique(cases.targets[hit])):,} "
            "items) never occur in training",
            f"down: whoever knows items by number alone reaches a recall of {1 - share:.3f} at most; texts reach more",
            "report cold and warm targets apart",
            share,
            evidence.case_names(cases, hit),
        )
    if strangers.any():
        share, hit = float(strangers.mean()), np.flatnonzero(strangers)
        yield Finding(
            "note",
            f"{len(hit):,} of {len(cases):,} test cases ({percent(share)}) are of users without any training event",
            "none for recommenders that read histories; down for those that know users by number",
            "nothing to do",
            share,
            evidence.case_names(cases, hit),
        )


def filter_on_everything(evidence: Evidence) -> Iterator[Finding]:
    """Find a k-core that was counted on all events, the held-out ones among them."""
    sequences = evidence.need("interactions").sequences
    counts = sequences.counts(evidence.n_items)
    taken = counts[counts > 0]
    fewest = int(min(taken.min(initial=10**9), sequences.lengths[sequences.lengths > 0].min(initial=10**9)))
    set_here = getattr(evidence.experiment.data, "k_core", None)
    k = set_here or fewest
    if k < 5 or k > 100:
        return
    trained = np.bincount(sequences.items[evidence.labels == TRAIN], minlength=evidence.n_items)
    cases = evidence.split.test
    hit = np.flatnonzero(trained[cases.targets] < k)
    share = len(hit) / max(len(cases), 1)
    whence = f"data.k_core = {k} is" if set_here else f"the tables are a {k}-core already, which was"
    yield Finding(
        "distortion" if share >= 0.01 else "note",
        f"{whence} counted on all events, the held-out ones among them; {len(hit):,} of {len(cases):,} test targets "
        f"({percent(share)}) have fewer than {k} training events and are in the catalogue thanks to events to come",
        "up beside operation: items that never find buyers are left out by looking ahead; the same for all systems "
        "compared",
        "say so beside the figures; filter on training events for what is to be said about operation",
        share,
        evidence.case_names(cases, hit),
    )


def ties_between_items(evidence: Evidence) -> Iterator[Finding]:
    """Ask what ties are worth where they are most frequent, in plain counts of transitions, and whom they favour."""
    cases, n_items = evidence.split.test, evidence.n_items
    chosen = np.random.default_rng(0).choice(len(cases), min(_SAMPLE, len(cases)), replace=False)
    cases = cases.take(np.sort(chosen))
    counter = Memory(TRANSITIONS).fit(evidence.split.train, n_items)
    best, worst = np.empty(len(cases), dtype=np.int64), np.empty(len(cases), dtype=np.int64)
    size = max(1, _BLOCK // max(n_items, 1))
    for first in track(range(0, len(cases), size), "counting ties"):
        rows = np.arange(first, min(first + size, len(cases)))
        scores = counter.scores(cases.histories.take(rows))
        own = scores[np.arange(len(rows)), cases.targets[rows], None]
        best[rows], worst[rows] = (scores > own).sum(axis=1) + 1, (scores >= own).sum(axis=1)
    low, high = float((worst <= 10).mean()), float((best <= 10).mean())
    order = float(np.asarray(spearmanr(np.arange(n_items), evidence.split.train.counts(n_items)).statistic))
    if high > low:
        favoured = (
            "popular items first" if order < -0.1 else "unpopular items first" if order > 0.1 else "no such order"
        )
        yield Finding(
            "distortion" if abs(order) > 0.1 and high - low >= 0.01 else "note",
            f"plain counts tie often: recall@10 of transitions (seen items included, {len(cases):,} cases) lies "
            f"between {low:.4f} and {high:.4f} as ties are broken; the table of items has {favoured} (rank correlation "
            f"with popularity {order:+.2f})",
            f"either way for baselines that count, by at most {high - low:.4f} of recall@10; ties go to the item that "
            "stands first in the table, for all systems alike",
            "nothing to do here; figures of others who break ties in the target's favour are too high by that",
            None,
        )

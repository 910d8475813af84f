"""Audit checks of items: shared identifiers, near-duplicates, cold items and users, filters, ties of scores."""

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
    """Count items that share a semantic ID, and the recall that counting per semantic ID would add."""
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
        f"another, up to {int(sizes.max())} items per ID; {len(hit):,} of {len(targets):,} test targets "
        f"({percent(share)}) do",
        f"figures per semantic ID, as reference implementations count, exceed those per item by at most {share:.4f} "
        f"of recall{_gained(evidence)}; ours are per item",
        "compare figures per item only with figures per item",
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
    """Count test targets with a near-duplicate in their history or in the catalogue."""
    cases, groups = evidence.split.test, _titles(evidence)
    pairs = _alike(evidence)
    rows = rows_of(cases)
    target, read = cases.targets[rows].astype(np.int64), cases.histories.items.astype(np.int64)
    namesake = (groups[target] == groups[read]) & (target != read)
    alike = np.isin(target * evidence.n_items + read, pairs)
    hit, named = np.unique(rows[namesake | alike]), len(np.unique(rows[namesake]))
    sizes = np.bincount(groups)
    has_one = (sizes[groups] > 1)[cases.targets] | np.isin(cases.targets, pairs // evidence.n_items)
    share, all_share = len(hit) / max(len(cases), 1), float(has_one.mean()) if len(cases) else 0.0
    if not has_one.any():
        return
    yield Finding(
        "distortion" if share >= _MANY_TWINS else "note",
        f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}) have a near-duplicate in their history "
        f"({named:,} of the same title, others by a cosine above {_ALIKE}); {percent(all_share)} have one in the "
        "catalogue" + ("" if evidence.vectors else "; only titles were compared"),
        f"up by at most {share:.3f} of recall for models that read text, as a duplicate of a history item matches its "
        f"text and is not excluded; down by at most {all_share:.3f} for all, as a duplicate of the target is a miss",
        "merge variants of an item, or also report the cases without duplicates",
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
    """Return target × items + duplicate for test targets (at most 5,000) with similar vectors: int64 (pairs,)."""
    if not evidence.vectors:
        return np.empty(0, dtype=np.int64)
    vectors = concatenate(list(evidence.vectors.values()))
    targets = np.unique(evidence.split.test.targets).astype(np.int64)
    if len(targets) > _MOST_TARGETS:
        targets = np.sort(np.random.default_rng(0).choice(targets, _MOST_TARGETS, replace=False))
    pairs, size = [np.empty(0, dtype=np.int64)], max(1, _BLOCK // max(len(vectors), 1))
    for first in track(range(0, len(targets), size), "looking for near-duplicates"):
        some = targets[first : first + size]
        row, other = np.nonzero(vectors[some] @ vectors.T > _ALIKE)
        apart = some[row] != other
        pairs.append(some[row[apart]] * evidence.n_items + other[apart])
    return np.concatenate(pairs)


def never_trained(evidence: Evidence) -> Iterator[Finding]:
    """Count test targets and test users without a training event."""
    cases = evidence.split.test
    cold = evidence.split.train.counts(evidence.n_items)[cases.targets] == 0
    strangers = ~np.isin(cases.users, evidence.split.train_users)
    if cold.any():
        share, hit = float(cold.mean()), np.flatnonzero(cold)
        yield Finding(
            "note",
            f"{len(hit):,} of {len(cases):,} test targets ({percent(share)}, {len(np.unique(cases.targets[hit])):,} "
            "items) never occur in training",
            f"down: models of item numbers reach a recall of {1 - share:.3f} at most; models of texts can reach more",
            "report cold and warm targets separately",
            share,
            evidence.case_names(cases, hit),
        )
    if strangers.any():
        share, hit = float(strangers.mean()), np.flatnonzero(strangers)
        yield Finding(
            "note",
            f"{len(hit):,} of {len(cases):,} test cases ({percent(share)}) are of users without any training event",
            "none for recommenders that read histories; down for models of user numbers",
            "nothing to do",
            share,
            evidence.case_names(cases, hit),
        )


def filter_on_everything(evidence: Evidence) -> Iterator[Finding]:
    """Find a k-core counted on all events, including held-out ones."""
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
    whence = f"data.k_core = {k} is" if set_here else f"the tables are a {k}-core already,"
    yield Finding(
        "distortion" if share >= 0.01 else "note",
        f"{whence} counted on all events, held-out ones included; {len(hit):,} of {len(cases):,} test targets "
        f"({percent(share)}) have fewer than {k} training events and pass the filter by held-out events",
        "up compared with production, as the filter removes items without later events; equal for all systems",
        "state it with the figures; filter on training events for claims about production",
        share,
        evidence.case_names(cases, hit),
    )


def ties_between_items(evidence: Evidence) -> Iterator[Finding]:
    """Measure the effect of tied scores, in transition counts where they are most frequent, and which items gain."""
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
            f"counts tie often: recall@10 of transitions (seen items included, {len(cases):,} cases) lies between "
            f"{low:.4f} and {high:.4f} depending on how ties are broken; the table of items has {favoured} (rank "
            f"correlation with popularity {order:+.2f})",
            f"either way for count baselines, by at most {high - low:.4f} of recall@10; ties go to the earlier item of "
            "the table, for all systems",
            "nothing to do; figures that break ties in favour of the target are too high by this amount",
            None,
        )

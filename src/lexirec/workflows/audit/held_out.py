"""Audit checks of held-out events: in training rows, in histories, duplicated across the split, in both folds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lexirec.data.sequences import Sequences
from lexirec.data.splits import HELD_BACK, TEST, TRAIN, Cases, prefix_cases
from lexirec.workflows.audit.evidence import Evidence, Keys, rows_of, times_taken
from lexirec.workflows.audit.findings import Finding, percent

SMALL = 0.005
"""Share of test cases below which duplicates are no leak; ten times as much where times are whole days."""
_DAY = 86_400
_LONG = 4
"""Length of a history from which on equal ones of two users are no coincidence."""


def held_out_in_training(evidence: Evidence) -> Iterator[Finding]:
    """Compare the training rows, per user and item, with the training events by the rule of the split."""
    excess = _excess(evidence)
    for fold, cases in (("test", evidence.split.test), ("validation", evidence.split.validation)):
        hit = np.flatnonzero(np.isin(evidence.keys(cases.users, cases.targets), excess))
        if len(hit):
            share = len(hit) / len(cases)
            yield Finding(
                "leak",
                f"the training rows hold the targets of {len(hit):,} of {len(cases):,} {fold} cases ({percent(share)})",
                f"up: fitted models have seen these targets; recall can rise by up to {share:.3f}"
                + ("" if fold == "test" else " on the fold that selects weights and settings"),
                "run the data stage again from the tables; if it comes from elsewhere, remove held-out events from it",
                share if fold == "test" else None,
                evidence.case_names(cases, hit),
            )
    yield from _held_back_in_training(evidence, excess)


def _held_back_in_training(evidence: Evidence, excess: Keys) -> Iterator[Finding]:
    """Look for held-back events among the excess user-item pairs of the training rows."""
    if evidence.interactions is None or not evidence.split.protocol.get("hold_back"):
        return
    events = np.flatnonzero(evidence.labels == HELD_BACK)
    hit = events[np.isin(evidence.event_keys[events], excess)]
    if len(hit):
        share = len(hit) / len(events)
        yield Finding(
            "leak",
            f"the training rows hold {len(hit):,} of {len(events):,} events ({percent(share)}) that "
            "data.split.hold_back keeps out of them",
            "none on test figures; validation histories end with training events, so weights chosen with "
            'choose_on = "unseen" are not chosen on cases like those of the test',
            "run the data stage again from the tables",
            examples=evidence.event_names(hit),
        )


def _excess(evidence: Evidence) -> Keys:
    """Return the user-item pairs that occur more often in the training rows than in the training events."""
    trained = np.unique(evidence.train_keys)
    counts = times_taken(evidence.train_keys, trained)
    if evidence.interactions is not None:
        allowed = times_taken(evidence.event_keys[evidence.labels == TRAIN], trained)
        return np.asarray(trained[counts > allowed])
    # without the tables, use cases with complete histories: training events of their targets must be in the history
    excess = []
    for cases in (evidence.split.test, evidence.split.validation):
        whole = cases.histories.lengths < int(evidence.split.protocol.get("max_history", 1))
        rows = rows_of(cases)
        in_history = times_taken(
            evidence.keys(rows, cases.histories.items), evidence.keys(np.arange(len(cases)), cases.targets)
        )
        keys = evidence.keys(cases.users, cases.targets)
        excess.append(keys[whole & (times_taken(evidence.train_keys, keys) > in_history)])
    return np.concatenate(excess)


def histories_hold_the_answer(evidence: Evidence) -> Iterator[Finding]:
    """Look in every history for the target's own event, for later events of the user, and for events of others."""
    keys = evidence.event_keys
    known, first = np.unique(keys, return_index=True)
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    for fold, cases in (("test", evidence.split.test), ("validation", evidence.split.validation)):
        rows = rows_of(cases)
        in_history, targets = (
            evidence.keys(cases.users[rows], cases.histories.items),
            evidence.keys(cases.users, cases.targets),
        )
        own = times_taken(
            evidence.keys(rows, cases.histories.items), evidence.keys(np.arange(len(cases)), cases.targets)
        )
        answered = (own > 0) & (own >= times_taken(keys, targets))
        later = _place(known, first, in_history, -1) > _place(known, last, targets, len(keys))[rows]
        strange = np.unique(rows[~np.isin(in_history, known)])
        yield from _answered(
            evidence, fold, cases, np.flatnonzero(answered), "the history holds the target's own event"
        )
        yield from _answered(
            evidence, fold, cases, np.unique(rows[later]), "the history holds later events of the user"
        )
        if len(strange):
            yield Finding(
                "distortion",
                f"{len(strange):,} {fold} cases have histories with items without an event of the user",
                "either way: cases have histories of other users",
                "run the data stage again from the tables",
                len(strange) / len(cases) if fold == "test" else None,
                evidence.case_names(cases, strange),
            )


def _answered(evidence: Evidence, fold: str, cases: Cases, hit: NDArray[np.int64], what: str) -> Iterator[Finding]:
    if len(hit):
        share = len(hit) / len(cases)
        yield Finding(
            "leak",
            f"in {len(hit):,} of {len(cases):,} {fold} cases ({percent(share)}) {what}",
            f"up with seen items included, by up to {share:.3f} of recall: the input contains the target",
            "truncate histories before the target",
            share if fold == "test" else None,
            evidence.case_names(cases, hit),
        )


def _place(known: Keys, places: NDArray[np.int64], wanted: Keys, otherwise: int) -> NDArray[np.int64]:
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    return np.where(known[at] == wanted, places[at], otherwise)


def duplicates_across_splits(evidence: Evidence) -> Iterator[Finding]:
    """Find duplicate events (user, item and time), one in training and one held out."""
    labels, times = evidence.labels, evidence.need("times")
    timed = np.flatnonzero(np.isfinite(times))
    moments = np.unique(times[timed], return_inverse=True)[1]
    order = np.lexsort((moments, evidence.event_keys[timed]))
    events, moments = timed[order], moments[order]
    same = (evidence.event_keys[events[1:]] == evidence.event_keys[events[:-1]]) & (moments[1:] == moments[:-1])
    group = np.concatenate([[0], np.cumsum(~same)])
    tested = np.bincount(group, weights=labels[events] == TEST) if len(events) else np.zeros(1)
    learned = np.bincount(group, weights=labels[events] != TEST) if len(events) else np.zeros(1)
    twice = np.flatnonzero((tested > 0) & (learned > 0))
    if not len(twice):
        return
    hit = events[np.isin(group, twice) & (labels[events] == TEST)]
    share = len(hit) / int((labels == TEST).sum())
    whole_days = bool((times[timed] % _DAY == 0).all())
    yield Finding(
        "distortion" if share < SMALL or (whole_days and share < 10 * SMALL) else "leak",
        f"{len(hit):,} test events ({percent(share)}) are duplicates, with the user, item and time of an earlier event"
        + (" (times are whole days, so some may be real repeats)" if whole_days else ""),
        f"up with seen items included (the target is in training rows and history), down by up to {share:.4f} of "
        "recall with seen items excluded, where such a target cannot be found",
        "set data.drop_repeats = true",
        share,
        evidence.event_names(hit),
    )


def copied_cases(evidence: Evidence) -> Iterator[Finding]:
    """Find test cases whose history and target are the beginning of another user's training row."""
    cases = evidence.split.test
    trained = prefix_cases(evidence.split.train, int(evidence.split.protocol.get("max_history", 20)))
    learned = np.isin(fingerprints(cases.histories, cases.targets), fingerprints(trained.histories, trained.targets))
    long = cases.histories.lengths >= _LONG
    hit = np.flatnonzero(learned & long)
    share, short = len(hit) / max(len(cases), 1), int((learned & ~long).sum())
    if len(hit):
        yield Finding(
            "leak" if share >= SMALL else "note",
            f"{len(hit):,} of {len(cases):,} test cases ({percent(share)}) repeat a training row: a history of "
            f"{_LONG} items or more, and the same target ({short:,} more with shorter histories)",
            f"up, by up to {share:.4f} of recall: copies of users or rows are memorised",
            "check whether users are copies of each other, and keep one of each",
            share,
            evidence.case_names(cases, hit),
        )


def fingerprints(histories: Sequences, targets: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Hash each history, in order, with its target: uint64 (rows,); equal rows hash equally, others almost never."""
    powers = np.cumprod(np.full(int(histories.lengths.max(initial=0)) + 2, 0x9E3779B97F4A7C15, dtype=np.uint64))
    place = np.arange(len(histories.items)) - np.repeat(histories.offsets[:-1], histories.lengths)
    mixed = _mixed(histories.items) * powers[place + 1]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    of_history = sums[histories.offsets[1:]] - sums[histories.offsets[:-1]]
    hashes: NDArray[np.uint64] = _mixed(of_history + histories.lengths.astype(np.uint64)) ^ (
        _mixed(targets) * powers[0]
    )
    return hashes


def _mixed(numbers: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Hash numbers to 64 bits (the finaliser of SplitMix64)."""
    value = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


def folds_overlap(evidence: Evidence) -> Iterator[Finding]:
    """Look for selection on test: cases in both folds, an empty validation fold, or figures of the validation fold."""
    test, validation = evidence.split.test, evidence.split.validation
    pairs = (evidence.keys(fold.users, fold.targets).astype(np.uint64) for fold in (test, validation))
    here, there = (
        fingerprints(fold.histories, fold.targets) ^ _mixed(key) for fold, key in zip((test, validation), pairs)
    )
    hit = np.flatnonzero(np.isin(here, there))
    if len(hit):
        share = len(hit) / len(test)
        yield Finding(
            "leak",
            f"{len(hit):,} of {len(test):,} test cases ({percent(share)}) are validation cases, too",
            "up: epochs, weights and settings are selected on test cases",
            "make the folds disjoint",
            share,
            evidence.case_names(test, hit),
        )
    learns = evidence.says("epochs")
    if not len(validation) and learns:
        yield Finding(
            "distortion",
            "the validation fold is empty",
            "down or up: training runs to its last epoch; choosing by test figures then selects on test",
            "use a split with validation cases",
        )
    if evidence.experiment.evaluation.fold == "validation" and learns:
        yield Finding(
            "distortion",
            "evaluation.fold is 'validation': figures are of the cases that selected epochs and weights",
            "up: the best of several tries on the same cases is reported",
            'report evaluation.fold = "test"',
        )

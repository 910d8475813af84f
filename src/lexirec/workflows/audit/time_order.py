"""Time: training on a user's own future, on other people's future, and orders that the times do not decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lexirec.data.events import TEST, TRAIN
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent

_MANY_TIES = 0.05


def own_future(evidence: Evidence) -> Iterator[Finding]:
    """Find test events that the same user's training events come after, in the order of the sequences."""
    labels, users = evidence.labels, evidence.event_users
    places = np.arange(len(labels))
    newest = np.full(len(evidence.need("interactions")), -1, dtype=np.int64)
    trained = labels == TRAIN
    newest[users[trained]] = places[trained]  # places ascend, so the last one stays
    tests = np.flatnonzero(labels == TEST)
    hit = tests[newest[users[tests]] > tests]
    if len(hit):
        share, items = len(hit) / len(tests), evidence.need("interactions").sequences.items
        later = int((trained & (places > _first_test(users, tests, len(newest))[users])).sum())
        yield Finding(
            "leak",
            f"{later:,} training events come after a test event of the same user; {len(hit):,} of {len(tests):,} test "
            f"events ({percent(share)}) have such a future in the training part",
            f"up, by as much as {share:.3f} of recall: what was taken later tells what was taken before",
            "give a user's later events to the held-out parts, too, or drop them",
            share,
            tuple(f"user {evidence.user(users[place])}, target {evidence.item(items[place])}" for place in hit[:3]),
        )


def _first_test(users: np.ndarray, tests: np.ndarray, n_users: int) -> np.ndarray:
    first = np.full(n_users, len(users), dtype=np.int64)
    first[users[tests][::-1]] = tests[::-1]
    return first


def everybodys_future(evidence: Evidence) -> Iterator[Finding]:
    """Count training events later than test events, whoever they belong to."""
    labels, times = evidence.labels, evidence.need("times")
    known = np.isfinite(times)
    trained, tests = np.sort(times[known & (labels == TRAIN)]), times[known & (labels == TEST)]
    if not len(trained) or not len(tests):
        raise NotLookedError("no training or no test event has a time")
    of = f" (times are known of {percent(known.mean())} of the events)" if not known.all() else ""
    if evidence.one_test_event_at_the_end:
        later = 1 - np.searchsorted(trained, tests, side="right") / len(trained)
        some = float((later > 0).mean())
        if some:
            yield Finding(
                "note",
                f"leave-one-out lets models learn from other people's future: {percent(float(later.mean()))} of the "
                f"training events are later than the test event on average, and {percent(some)} of the test events "
                f"have some{of}",
                "up beside operation, for everything that learns from other users; the same for all systems compared",
                "say so beside the figures; a global-temporal split shows what remains in operation",
                some,
            )
        return
    cut, after = tests.min(), trained[trained > tests.min()]
    if len(after):
        yield _later_than_the_cut(evidence, cut, len(after), len(trained), of)


def _later_than_the_cut(evidence: Evidence, cut: float, after: int, trained: int, of: str) -> Finding:
    """Say what training events in the test period of a split by time are worth: with successions, or alone."""
    sequences, labels, times = evidence.need("interactions").sequences, evidence.labels, evidence.need("times")
    starts = np.zeros(len(labels), dtype=bool)
    starts[sequences.offsets[:-1][sequences.lengths > 0]] = True
    late = np.flatnonzero((labels == TRAIN) & (times > cut))
    following = int((~starts[late]).sum())
    known = _known_from_later(evidence, cut)
    counted = (
        f"; {following:,} of them follow another event"
        if following
        else "; all are their users' first events, which follow nothing"
    )
    return Finding(
        "leak" if following else "distortion",
        f"the split is one by time, yet {after:,} of {trained:,} training events ({percent(after / trained)}) are "
        f"later than the first test event ({_day(cut)}), the last of them at {_day(times[late].max())}{counted}{of}",
        f"up: popularity {'and successions ' if following else ''}of the test period is learned; {percent(known)} of "
        "the test cases have a transition that is known from those events alone",
        "drop training events from the first test event on",
        known,
        tuple(
            f"user {evidence.user(evidence.event_users[at])}, item {evidence.item(sequences.items[at])}"
            for at in late[:3]
        ),
    )


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _known_from_later(evidence: Evidence, cut: float) -> float:
    """Share of test cases whose succession (last item, target) occurs in training only from `cut` on."""
    sequences, labels, times = evidence.need("interactions").sequences, evidence.labels, evidence.need("times")
    users, cases = evidence.event_users, evidence.split.test
    pair = (users[1:] == users[:-1]) & (labels[1:] == TRAIN) & (labels[:-1] == TRAIN)
    keys = sequences.items[:-1].astype(np.int64) * evidence.n_items + sequences.items[1:]
    late = ~(times[1:] <= cut) & np.isfinite(times[1:])
    only_late = np.setdiff1d(keys[pair & late], keys[pair & ~late])
    lengths = cases.histories.lengths
    last = cases.histories.items[np.maximum(cases.histories.offsets[1:] - 1, 0)] if len(cases.histories.items) else 0
    asked = np.where(lengths > 0, last * np.int64(evidence.n_items) + cases.targets, -1)
    return float(np.isin(asked, only_late).mean())


def ties_in_time(evidence: Evidence) -> Iterator[Finding]:
    """Count test events whose place among the user's events is not decided by time."""
    labels, times, users = evidence.labels, evidence.need("times"), evidence.event_users
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    tied = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    tests = (labels == TEST) & np.isfinite(times)
    share = float(tied[tests].mean()) if tests.any() else 0.0
    if share:
        order = str(evidence.split.protocol.get("order", "file order"))
        order = order if order.startswith("by ") else f"by {order}"
        yield Finding(
            "distortion" if share >= _MANY_TIES else "note",
            f"{int(tied[tests].sum()):,} of {int(tests.sum()):,} test events ({percent(share)}) have the same time as "
            f"another event of their user",
            f"either way: which of them is asked for is decided {order}; another order is another test set, and "
            "figures of papers that broke ties otherwise are of other cases",
            "say how ties are broken (the protocol card does), and compare only systems measured on the same cases",
            share,
        )
    backwards = (users[1:] == users[:-1]) & (times[1:] < times[:-1])
    if backwards.any():
        at = np.flatnonzero(backwards)
        yield Finding(
            "distortion",
            f"{len(at):,} events stand behind later ones of the same user: the order of the sequences is not that of "
            "the times",
            "either way: histories are not what came before the target",
            'map the column of times, for example interaction_columns = {time = "timestamp"}',
            None,
            tuple(f"user {evidence.user(users[place])}" for place in at[:3]),
        )

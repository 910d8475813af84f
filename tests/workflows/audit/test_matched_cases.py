"""Matched items: as likely as the target by counts of other users, and events of nobody's own."""

from dataclasses import replace

import numpy as np
import pytest

from lexirec.core.progress import quiet
from lexirec.data.ranking import Ranking
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split, global_temporal
from lexirec.workflows.audit.matched_cases import (
    AFTER_TRAINING,
    TEST,
    TRAINED,
    VALIDATION,
    MatchedCases,
    _by_reference,
    matched_cases,
)
from tests.worlds.audit import clean_split, shop


@pytest.fixture(scope="module")
def groups() -> dict[str, MatchedCases]:
    with quiet():
        return matched_cases(clean_split(), shop()[0].texts())


class Fixed:
    """A recommender with one score per item, or per case and item."""

    def __init__(self, scores) -> None:
        self.catalog, self._scores = shop()[0], scores

    def rank(self, histories, *, k, exclude_seen=False, allowed=None) -> Ranking:
        scores = np.where(allowed, self._scores, -np.inf)
        items = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        best = np.take_along_axis(scores, items, axis=1)
        return Ranking(np.where(np.isfinite(best), items, -1), best.astype(np.float32))


def test_groups_are_training_targets_and_both_folds(groups):
    split = clean_split()
    assert set(groups) == {TRAINED, VALIDATION, TEST, AFTER_TRAINING}
    trained = groups[TRAINED].cases
    rows = np.searchsorted(split.train_users, trained.users)
    for case, row in enumerate(rows[:50]):
        events = split.train.row(row)
        assert trained.targets[case] == events[-1]
        assert trained.histories.row(case).tolist() == events[:-1][-20:].tolist()
    after = groups[AFTER_TRAINING].cases
    for case, row in enumerate(np.searchsorted(split.train_users, after.users)[:50]):
        assert after.histories.row(case).tolist() == split.train.row(row)[-20:].tolist()


def test_matched_items_are_no_events_of_the_user(groups):
    split = clean_split()
    held_out = {}
    for cases in (split.validation, split.test):
        for user, target in zip(cases.users, cases.targets, strict=True):
            held_out.setdefault(int(user), set()).add(int(target))
    for group in groups.values():
        for case, user in enumerate(group.cases.users[:100]):
            own = set(split.train.row(int(np.searchsorted(split.train_users, user))).tolist()) | held_out[int(user)]
            own |= {int(group.cases.targets[case])}
            assert not own & set(group.matched[case].tolist())


def test_they_are_the_next_ones_in_the_order_of_the_reference(groups):
    group = groups[TEST]
    with quiet():
        scores = dict(_rows(group))
    for case in range(30):
        row, target = scores[case], group.cases.targets[case]
        likelier, rest = group.matched[case, :10], group.matched[case, 10:]
        assert (row[likelier[likelier >= 0]] >= row[target] - 1e-3).all()
        assert (row[rest[rest >= 0]] <= row[target] + 1e-3).all()


def _rows(group):
    for rows, scores in _by_reference(clean_split(), group.cases, shop()[0].texts()):
        yield from zip(rows.tolist(), scores, strict=True)


def test_the_reference_counts_other_users_alone(groups):
    """A pair that only one user has is worth nothing in that user's own case."""
    lists = [[0, 1, 2], *[[3, 4, 5, 6, 7]] * 9]
    rows = Sequences.from_lists(lists)
    cases = Cases(np.array([0]), np.array([2], np.int32), Sequences.from_lists([[0, 1]]))
    split = Split(rows, np.arange(10), cases, cases, 8, {})
    with quiet():
        ((_, scores),) = _by_reference(split, cases, [f"word{i}" for i in range(8)])
    assert scores[0, 2] < scores[0, 3]


def test_wins_are_shares_of_matched_items(groups):
    group = groups[TEST].sample(40)
    n_items, rows = 150, np.arange(40)
    first = np.zeros((40, n_items))
    first[rows, group.cases.targets] = 1
    with quiet():
        assert group.wins(Fixed(first)) == pytest.approx(1)
        assert group.wins(Fixed(-first)) == pytest.approx(0)
        half = np.zeros((40, n_items))
        half[
            rows[:, None], np.where(group.matched[:, :10] >= 0, group.matched[:, :10], group.cases.targets[:, None])
        ] = 2
        half[rows, group.cases.targets] = 1
        assert group.wins(Fixed(half)) == pytest.approx(0.5)


def test_a_split_by_time_has_users_without_training_rows():
    split = global_temporal(shop()[1])
    with quiet():
        found = matched_cases(split, shop()[0].texts())
    assert np.isin(found[AFTER_TRAINING].cases.users, split.train_users).all()
    assert (found[TEST].cases.histories.lengths > 0).all()


def test_without_cases_there_is_nothing_to_match():
    split = clean_split()
    nothing = split.test.take(np.empty(0, np.int64))
    with quiet():
        assert set(matched_cases(replace(split, test=nothing, validation=nothing), shop()[0].texts())) == {TRAINED}
        single = replace(split, train=split.train.last(1), test=nothing, validation=nothing)
        assert matched_cases(single, shop()[0].texts()) == {}

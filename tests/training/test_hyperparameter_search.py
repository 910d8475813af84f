import sys

import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.search_space import Dimension
from lexirec.training.hyperparameter_search import Journal

SPACE = {
    "width": Dimension(low=1, high=64, log=True),
    "share": Dimension(low=0.0, high=1.0),
    "kind": Dimension(choices=("a", "b")),
}
FIRST = {"width": 8, "share": 0.25, "kind": "b"}


def worth(params) -> float:
    return -abs(params["width"] - 20) - 10 * abs(params["share"] - 0.7)


def searched(path, trials: int, **options) -> list[dict]:
    journal, tried = Journal(path, "toy", SPACE, **options), []
    for _ in range(trials):
        number, params = journal.next(FIRST)
        journal.tell(number, worth(params))
        tried.append(params)
    return tried


def test_the_first_proposal_is_what_is_given_and_all_are_among_what_may_be_tried(tmp_path):
    tried = searched(tmp_path / "journal", 15)
    assert tried[0] == FIRST
    assert all(each.holds(params[name]) for params in tried for name, each in SPACE.items())
    assert len({tuple(params.values()) for params in tried}) > 10


@pytest.mark.parametrize("joint", [False, True])
def test_what_is_proposed_depends_on_the_seed_and_not_on_when_it_was_cut_off(tmp_path, joint):
    whole = searched(tmp_path / "whole", 14, seed=3, joint=joint)
    assert whole == searched(tmp_path / "again", 14, seed=3, joint=joint)
    assert whole != searched(tmp_path / "other", 14, seed=4, joint=joint)
    parts = searched(tmp_path / "parts", 6, seed=3, joint=joint)
    number, open_ = Journal(tmp_path / "parts", "toy", SPACE, seed=3, joint=joint).next(FIRST)  # cut off in this trial
    with (tmp_path / "parts").open("a") as journal:
        journal.write('{"op_code": 4, "wor')  # and in the middle of a line
    assert number == 6
    rest = searched(tmp_path / "parts", 8, seed=3, joint=joint)
    assert rest[0] == open_
    assert parts + rest == whole


def test_a_joint_search_finds_what_a_blind_one_does_not(tmp_path):
    tried = searched(tmp_path / "journal", 60, joint=True)
    early, late = (max(map(worth, part)) for part in (tried[:12], tried[12:]))
    assert late > early
    assert late > -3


def test_trials_the_journal_was_not_told_of_are_settled_once(tmp_path):
    journal = Journal(tmp_path / "journal", "toy", SPACE)
    one, _ = journal.next(FIRST)
    again, params = journal.next()
    assert (again, params) == (one, FIRST), "what was not told is open"
    journal.settle({one: 0.5})
    journal.settle({one: 0.5})
    assert journal.next()[0] == one + 1


def test_failures_are_told_too(tmp_path):
    journal = Journal(tmp_path / "journal", "toy", SPACE)
    for _ in range(3):
        journal.tell(journal.next()[0], None)
    assert journal.next()[0] == 3


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[tune\]'"):
        Journal(tmp_path / "journal", "toy", SPACE)

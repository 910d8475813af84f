import sys

import pytest

from lexirec.core.errors import SettingsError
from lexirec.core.search_space import Dimension
from lexirec.training.hyperparameter_search import Finished, Journal

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
    for _ in range(2):
        assert journal.settle({one: Finished(FIRST, 0.5)}) == {one}
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


def told(path, trials: int, lost: tuple[int, ...] = ()) -> dict[int, Finished]:
    """Search, and return what the caller still has of the trials."""
    tried = searched(path, trials, seed=3)
    return {number: Finished(params, worth(params)) for number, params in enumerate(tried) if number not in lost}


def resumed(path, known: dict[int, Finished], trials: int) -> list[dict]:
    """Go on until there are so many trials, and return the settings of all."""
    journal = Journal(path, "toy", SPACE, seed=3)
    kept = journal.settle(known)
    tried = {number: dict(trial.params) for number, trial in known.items() if number in kept}
    while len(tried) < trials:
        number, params = journal.next(FIRST)
        assert number not in tried
        journal.tell(number, worth(params))
        tried[number] = params
    return [tried[number] for number in range(trials)]


def cut_tail(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:5], b"{not json}\n", *lines[6:]])


def nothing(content: bytes) -> bytes:
    return b""


def no_text(content: bytes) -> bytes:
    return b"\xff\xfe" * 200 + b"\n"


def other_value(content: bytes) -> bytes:
    """Change the number of the last trial."""
    head, values, tail = content.rpartition(b'"values":[-')
    return head + values + b"9" + tail


def inside_a_trial(content: bytes) -> bytes:
    """Cut after the first setting of the last trial, at the end of a line."""
    lines = content.splitlines(keepends=True)
    begun = max(number for number, line in enumerate(lines) if b'"op_code":4' in line)
    return b"".join(lines[: begun + 2])


@pytest.mark.parametrize("damage", [cut_tail, garbage, nothing, no_text, other_value, inside_a_trial])
@pytest.mark.parametrize("lost", [(), (0,), (4,), (2, 7)])
def test_a_damaged_journal_proposes_what_it_would_have(tmp_path, damage, lost):
    whole = searched(tmp_path / "whole", 12, seed=3)
    known = told(tmp_path / "journal", 8, lost)
    before = (tmp_path / "journal").read_bytes()
    after = damage(before)
    assert after != before
    (tmp_path / "journal").write_bytes(after)
    assert resumed(tmp_path / "journal", known, 12) == whole


@pytest.mark.parametrize("lost", [(0,), (4,), (7,), (2, 7), tuple(range(8))])
def test_trials_that_the_caller_lost_are_proposed_again(tmp_path, lost):
    whole = searched(tmp_path / "whole", 12, seed=3)
    known = told(tmp_path / "journal", 8, lost)
    assert resumed(tmp_path / "journal", known, 12) == whole


def test_a_damaged_journal_is_said(tmp_path, caplog):
    searched(tmp_path / "journal", 3)
    (tmp_path / "journal").write_bytes(garbage((tmp_path / "journal").read_bytes()))
    Journal(tmp_path / "journal", "toy", SPACE)
    assert "journal is damaged" in caplog.text
    assert "it is made again from the trials" in caplog.text

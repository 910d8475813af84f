import numpy as np
import pytest

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.workflows.audit import shortcuts
from lexirec.workflows.audit.findings import NotLookedError
from lexirec.workflows.audit.shortcuts import inner_cases, measure_shortcuts

ITEMS = 30
NO_CASES = Cases(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32), Sequences.from_lists([]))


def split(rows):
    return Split(Sequences.from_lists(rows), np.arange(len(rows)), NO_CASES, NO_CASES, ITEMS, {})


def circle(rng, length=6):
    start = rng.integers(ITEMS)
    return [int((start + step) % ITEMS) for step in range(length)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_last_events_of_long_rows_are_held_back():
    before, cases = inner_cases(Sequences.from_lists([[1, 2, 3], [4, 5], [6, 7, 8, 9]]))
    assert [before.row(i).tolist() for i in range(3)] == [[1, 2], [4, 5], [6, 7, 8]]
    assert cases.targets.tolist() == [3, 9]
    assert [cases.histories.row(i).tolist() for i in range(2)] == [[1, 2], [6, 7, 8]]


def test_a_circle_with_telling_texts_has_all_three_structures(rng):
    texts = [f"part{item // 5} part{(item + 1) // 5} common" for item in range(ITEMS)]
    found = measure_shortcuts(split([circle(rng) for _ in range(200)]), texts)
    assert found.found == ["low branching", "smooth transitions", "short memory"]
    figures = found.figures
    assert figures["low_branching"].value == 1
    assert figures["one_hop"].value == figures["two_hops"].value == 1
    assert figures["counts"].value == 1
    assert found.verdict().startswith("3 of 3 shortcut structures: low branching")


def test_chance_has_none(rng):
    rows = [rng.integers(ITEMS, size=12).tolist() for _ in range(400)]
    found = measure_shortcuts(split(rows), [f"word{item % 7} word{item % 3}" for item in range(ITEMS)])
    figures = found.figures
    assert figures["low_branching"].value > 25
    assert figures["smooth_transitions"].value == pytest.approx(0.5, abs=0.05)
    assert "smooth transitions" not in found.found
    assert "low branching" not in found.found


def test_what_depends_on_the_first_item_needs_a_long_memory(rng):
    rows = []
    for _ in range(600):
        first = int(rng.integers(10))
        rows.append([first, *rng.integers(10, 15, size=4).tolist(), first + 15])
    found = measure_shortcuts(split(rows), ["a b"] * ITEMS).figures["short_memory"]
    assert found.value < 0.95
    assert not found.shortcut


def test_texts_without_words_have_no_smoothness(rng):
    found = measure_shortcuts(split([circle(rng) for _ in range(50)]), [""] * ITEMS)
    assert "smooth_transitions" not in found.figures
    assert found.verdict().startswith("2 of 2")


def test_blocks_give_the_same_figures(rng, monkeypatch):
    rows = [rng.integers(ITEMS, size=5).tolist() for _ in range(40)]
    whole = measure_shortcuts(split(rows), ["a b"] * ITEMS)
    monkeypatch.setattr(shortcuts, "_CELLS", 1)
    parts = measure_shortcuts(split(rows), ["a b"] * ITEMS)
    assert whole.as_json() == parts.as_json()


def test_short_rows_cannot_be_measured():
    with pytest.raises(NotLookedError, match="no training row has three events"):
        measure_shortcuts(split([[1, 2], [3]]), ["a b"] * ITEMS)

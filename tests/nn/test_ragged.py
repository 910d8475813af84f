from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.nn.ragged import Ragged, side_by_side

rows_of_numbers = st.lists(st.lists(st.integers(0, 50), max_size=5), min_size=1, max_size=6)


def lists(ragged: Ragged) -> list[list[int]]:
    return [ragged.row(number) for number in range(len(ragged))]


@settings(max_examples=60, deadline=None)
@given(rows_of_numbers, st.randoms())
def test_pad_gathers_the_rows_asked_for(rows, random):
    ragged = Ragged.from_lists(rows)
    chosen = [random.randrange(-1, len(rows)) for _ in range(4)]
    ids, mask = ragged.pad(torch.tensor(chosen), fill=-7)
    expected = [rows[number] if number >= 0 else [] for number in chosen]
    assert ids.shape == mask.shape == (4, max(map(len, expected)))
    assert [line[kept].tolist() for line, kept in zip(ids, mask, strict=True)] == expected
    assert (ids[~mask] == -7).all()


@settings(max_examples=60, deadline=None)
@given(rows_of_numbers, st.integers(0, 4))
def test_head_and_side_by_side_are_slicing_and_adding_of_lists(rows, limit):
    ragged = Ragged.from_lists(rows)
    short = ragged.head(torch.full((len(rows),), limit))
    assert lists(short) == [row[:limit] for row in rows]
    assert lists(side_by_side([ragged, short, ragged])) == [row + row[:limit] + row for row in rows]


def test_from_padded_drops_holes_wherever_they_stand():
    assert lists(Ragged.from_padded(torch.tensor([[-1, 3, -1], [-1, -1, -1], [1, 2, 0]]))) == [[3], [], [1, 2, 0]]


def test_repeated_gives_the_row_to_those_present():
    assert lists(Ragged.repeated([4, 5], torch.tensor([True, False, True]))) == [[4, 5], [], [4, 5]]


def test_pad_keeps_the_shape_of_the_rows_asked_for():
    ids, mask = Ragged.from_lists([[1], [2, 3]]).pad(torch.tensor([[0, 1, -1]]))
    assert ids.tolist() == [[[1, 0], [2, 3], [0, 0]]]
    assert mask.sum(-1).tolist() == [[1, 2, 0]]
    assert ids.dtype == torch.int64

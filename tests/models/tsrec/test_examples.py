from __future__ import annotations

import numpy as np
import pytest
import torch

from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.examples import Examples
from lexirec.nn.ragged import Ragged

ROWS = Ragged.from_lists([[4, 1], [5, 1], [6, 1]])
NO_HISTORIES = Sequences.from_lists([[], [], []])


def test_rows_can_be_taken_and_parts_must_be_as_many():
    one = Examples(ROWS, ROWS, torch.arange(3), NO_HISTORIES, "one")
    assert one.take(np.array([2, 2, 0])).items.tolist() == [2, 2, 0]
    assert one.take(np.array([2, 2, 0])).prompts.row(0) == [6, 1]
    assert one.counts == {"one": 3}
    with pytest.raises(ValueError, match="they must be equally many"):
        Examples(ROWS, ROWS, torch.arange(4), NO_HISTORIES, "one")

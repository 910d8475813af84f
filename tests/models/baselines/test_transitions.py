import numpy as np
import pytest

from lexirec.core.errors import ArtifactError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import TRANSITIONS, Memory
from lexirec.models.baselines.transitions import Transitions, TransitionsSettings

TRAIN = Sequences.from_lists([[0, 1, 2], [1, 0], [2, 3], [3, 2, 0], [1]])
HISTORIES = Sequences.from_lists([[1, 3], [0], []])


def test_forward_counts_fall_with_distance_and_age():
    scores = Transitions(TransitionsSettings(history_decay=0.5)).fit(TRAIN, 5).scores(HISTORIES)
    assert scores[0].tolist() == [0.5 * 1 + 0.5, 0, 0.5 * 1 + 1, 0, 0]  # after 3: 2, then 0; after 1, half: 2 and 0
    assert scores[1].tolist() == [0, 1, 0.5, 0, 0]


def test_both_ways_what_came_before_counts_too():
    both = Transitions(TransitionsSettings(backward=1.0)).fit(TRAIN, 5).scores(HISTORIES.take([1]))[0]
    assert both.tolist() == [0, 1 + 1, 0.5 + 1, 0.5, 0]


def test_the_defaults_are_the_floor():
    mine, floor = Transitions().fit(TRAIN, 5).scores(HISTORIES), Memory(TRANSITIONS).fit(TRAIN, 5).scores(HISTORIES)
    assert np.array_equal(mine, floor)
    assert mine[2].tolist() == pytest.approx([3 / 11, 3 / 11, 3 / 11, 2 / 11, 0])


def test_a_folder_without_counts_is_refused(tmp_path):
    Transitions().fit(TRAIN, 5).save(tmp_path)
    (tmp_path / "counts" / "settings.json").unlink()
    with pytest.raises(ArtifactError, match="no saved MemorySettings"):
        Transitions.load(tmp_path)

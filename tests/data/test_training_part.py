from dataclasses import fields

import numpy as np
import pytest

from lexirec.core.errors import ArtifactError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.data.training_part import TrainingAndValidation, TrainingPart

ROWS = Sequences.from_lists([[0, 1, 2], [3]])
CASES = Cases(np.arange(2), np.array([4, 0], np.int32), Sequences.from_lists([[0, 1, 2], [3]]))


@pytest.fixture
def saved(tmp_path):
    Split(ROWS, np.array([5, 7]), CASES, CASES, 6, {"split": "leave-last-out"}).save(tmp_path)
    return tmp_path


def test_the_training_part_is_read_from_its_own_folder_alone(saved):
    for other in ("validation", "test"):
        for file in (saved / other).iterdir():
            file.unlink()
    part = TrainingPart.load(saved / "train", 6)
    assert part.train == ROWS
    assert part.train_users.tolist() == [5, 7]
    assert part.n_items == 6


def test_neither_type_can_hold_test_cases():
    assert {field.name for field in fields(TrainingPart)} == {"train", "train_users", "n_items"}
    assert {field.name for field in fields(TrainingAndValidation)} == {"train", "train_users", "n_items", "validation"}
    both = TrainingPart(ROWS, np.arange(2), 6).with_validation(CASES)
    assert both.validation is CASES
    with pytest.raises(AttributeError):
        both.test  # noqa: B018


def test_damage_is_one_line(saved):
    with pytest.raises(ArtifactError, match="items beyond the catalogue of 3; run the stage data again"):
        TrainingPart.load(saved / "train", 3)
    np.save(saved / "train" / "users.npy", np.arange(3))
    with pytest.raises(ArtifactError, match="3 users for 2 rows"):
        TrainingPart.load(saved / "train", 6)

"""What may be learned from: the training part of a split, alone or with the validation cases; neither holds test cases.

Stages that learn get these types instead of a `Split`, so that no test case can reach them by mistake. Both are read
from the folders that `Split.save` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Cases


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """The training rows of a split.

    Attributes:
        train: One row per user who has at least one training event, oldest first.
        train_users: int64 (rows of train,), the user of each row.
        n_items: Size of the catalogue.
    """

    train: Sequences
    train_users: NDArray[np.int64]
    n_items: int

    @classmethod
    def load(cls, folder: Path | str, n_items: int) -> TrainingPart:
        """Read the folder `train` of a saved split.

        Raises:
            ArtifactError: a file is missing or damaged, or an item has a number beyond the catalogue.
        """
        source = Path(folder)
        train, users = Sequences.load(source), load_array(source / "users.npy")
        if len(users) != len(train):
            raise ArtifactError(f"{source}: {len(users):,} users for {len(train):,} rows; run the stage data again")
        if len(train.items) and not 0 <= int(train.items.min()) <= int(train.items.max()) < n_items:
            raise ArtifactError(f"{source}: items beyond the catalogue of {n_items:,}; run the stage data again")
        return cls(train, users, n_items)

    def with_validation(self, cases: Cases) -> TrainingAndValidation:
        """Return the same rows beside validation cases."""
        return TrainingAndValidation(self.train, self.train_users, self.n_items, cases)


@dataclass(frozen=True, eq=False)
class TrainingAndValidation(TrainingPart):
    """The training rows, and the validation cases that may choose epochs, weights and settings.

    Attributes:
        validation: Cases to choose on; nothing is fitted to them.
    """

    validation: Cases

"""Cases: what a recommender is measured on, each a history and the item that came next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.data.sequences import Sequences, load_array


@dataclass(frozen=True, eq=False)
class Cases:
    """Prediction tasks: a history and the target item of each of C cases.

    Attributes:
        users: int64 (C,), the user (row of the interactions; for `prefix_cases` the row of the training sequences).
        targets: int32 (C,), the item to predict.
        histories: C rows, the items before the target, oldest first, cut to the newest ones.
        seen: C rows, the items that count as seen; None where those of the history do.
        never: C rows, the items that no list may hold; None where all may be listed. See `data.excluded_items`.
    """

    users: NDArray[np.int64]
    targets: NDArray[np.int32]
    histories: Sequences
    seen: Sequences | None = None
    never: Sequences | None = None

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.targets) == len(self.histories):
            counts = f"{len(self.users)} users, {len(self.targets)} targets and {len(self.histories)} histories"
            raise ValueError(f"{counts} should be equally many")
        if any(rows is not None and len(rows) != len(self.targets) for rows in (self.seen, self.never)):
            raise ValueError(f"{len(self.targets)} cases should have as many rows of seen and of forbidden items")

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[Any]) -> Cases:
        """Return the given cases, in the given order."""
        seen, never = (None if each is None else each.take(rows) for each in (self.seen, self.never))
        return Cases(self.users[rows], self.targets[rows], self.histories.take(rows), seen, never)

    def sample(self, most: int, seed: int) -> Cases:
        """Return at most `most` cases: a fixed random sample, in their order, where there are more."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False)))

    def save(self, folder: Path | str) -> None:
        """Write `users.npy`, `targets.npy` and the histories into `folder`."""
        target = Path(folder)
        self.histories.save(target)
        np.save(target / "users.npy", self.users, allow_pickle=False)
        np.save(target / "targets.npy", self.targets, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path | str) -> Cases:
        """Read what `save` wrote; raises ArtifactError where a file is missing or damaged."""
        source = Path(folder)
        users, targets = load_array(source / "users.npy"), load_array(source / "targets.npy")
        try:
            return cls(users, targets, Sequences.load(source))
        except ValueError as error:
            raise ArtifactError(f"{source}: {error}") from error

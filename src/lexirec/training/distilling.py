"""Distillation: part of a model's loss asks for what the memory would recommend, not only for what was bought.

One event says of all items but one that they were wrong; the memory's scores say which others were nearly right, rare
ones among them. A memory that has counted the very event it is asked about would give the answer away, so it is
cross-fitted: training rows (users) are dealt into folds, and what a row is told was counted on the other folds alone.

Source: knowledge distillation is Hinton, Vinyals and Dean (2015), for rankers Tang and Wang (KDD 2018); counts as a
cross-fitted teacher are ours, measured in docs/log.md.

Legend: `R` cases, `I` items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lexirec.config import Settings
from lexirec.data.sequences import Sequences
from lexirec.errors import DataError
from lexirec.models.memory import Memory


class DistillationSettings(Settings):
    """How much is learned from the memory, for grounded heads with pooling `mass`; by default nothing."""

    share: float = Field(default=0.0, ge=0, lt=1)
    """Share of a case's loss that is the cross-entropy against the memory's distribution."""
    folds: int = Field(default=5, ge=2)
    """Parts the training rows are dealt into; each is told what was counted on the others."""
    evidence: Literal["text", "none"] = "text"
    """Whether the memory smooths its counts over items of like text (M2), or only counts (M0)."""


def check_teachable(settings: DistillationSettings, *, flat: bool) -> None:
    """Refuse to distil into a head without a distribution over items at its root.

    Raises:
        ValueError: as said; for a model's validator.
    """
    if settings.share and not flat:
        raise ValueError(
            f'training.distillation.share is {settings.share:g}, but only a head "grounded" with pooling "mass"'
            " has a distribution over items to learn it in; set the head so, or share = 0"
        )


class Teacher:
    """The memory, fitted once for every fold without it."""

    def __init__(self, memories: Sequence[Memory], fold_of: NDArray[np.int64], share: float) -> None:
        """Hold a memory per fold, the fold of each training row, and the share of the loss."""
        self._memories, self._fold_of, self._share = tuple(memories), fold_of, share

    @classmethod
    def fit(
        cls, train: Sequences, texts: Sequence[str], settings: DistillationSettings, *, seed: int = 0
    ) -> Self | None:
        """Deal the training rows into folds and count; None where the share is 0.

        Args:
            train: rows of item numbers, oldest first.
            texts: one per item of the catalogue.
            settings: share, folds and evidence.
            seed: of the dealing.

        Raises:
            DataError: there are fewer training rows than folds.
        """
        if not settings.share:
            return None
        if len(train) < settings.folds:
            raise DataError(
                f"distillation.folds is {settings.folds}, but there are {len(train):,} training rows;"
                " give fewer folds, or share = 0"
            )
        dealt = np.arange(len(train)) % settings.folds
        fold_of = np.random.default_rng(seed).permutation(dealt)
        given = texts if settings.evidence == "text" else None
        others = (train.take(np.flatnonzero(fold_of != fold)) for fold in range(settings.folds))
        return cls([Memory().fit(rows, len(texts), texts=given) for rows in others], fold_of, settings.share)

    def told(self, histories: Sequences, rows: NDArray[np.int64]) -> Tensor:
        """Return what cases are told, as parts of their loss: float32 (R, I), each row sums to the share, or to 0.

        Args:
            histories: of the cases, oldest first.
            rows: (R,) the training row of each, −1 for none; those and empty histories are told nothing.
        """
        folds = np.where((rows >= 0) & (histories.lengths > 0), self._fold_of[np.maximum(rows, 0)], -1)
        shares = np.zeros((len(rows), self._n_items), dtype=np.float32)
        for fold in np.unique(folds[folds >= 0]):
            asked = np.flatnonzero(folds == fold)
            shares[asked] = np.maximum(self._memories[fold].scores(histories.take(asked)), 0)
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > 0)
        return torch.from_numpy(shares * np.float32(self._share))

    @property
    def _n_items(self) -> int:
        return len(self._memories[0].shares)

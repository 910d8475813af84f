"""Distillation: part of a model's loss asks for what a teacher would recommend, not only for what was bought.

One event says of all items but one that they were wrong; a teacher's scores say which others were nearly right, rare
ones among them. The teacher is the memory, or its product with copies of the model itself. One that has counted the
very event it is asked about would give the answer away, so it is cross-fitted: training rows (users) are dealt into
folds, and what a row is told was learned on the other folds alone.

Rehearsal asks about items rather than about users: cases whose history is one item alone, each item of the catalogue as
often as any other, answered by the memory of all training rows (times all copies). What is bought once in a while is a
history once in a while; a model hardly learns what follows it, while the memory, which smooths its counts over like
texts, knows.

Source: knowledge distillation is Hinton, Vinyals and Dean (2015), for rankers Tang and Wang (KDD 2018), a teacher of
the student's own kind Furlanello et al. (ICML 2018, "Born-Again Neural Networks"); counts as a teacher, its product
with copies, cross-fitting and rehearsal are ours, measured in docs/log/.

Legend: `R` cases, `I` items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lexirec.core.config import Settings
from lexirec.core.errors import DataError
from lexirec.core.progress import Progress
from lexirec.data.sequences import Sequences
from lexirec.models.base import GenerativeRecommender
from lexirec.models.baselines.memory import Memory, MemorySettings

REHEARSED = 0.95
"""Share of a rehearsed case's loss that asks for the memory's distribution; the rest asks for the item that was drawn
from it, by which the later tokens of identifiers are learned."""

_FLOOR = 0.001
"""Share of an item that was never counted, in a product; the least that fusions choose among."""
_ENTRIES = 2**24  # scores held at once


class DistillationSettings(Settings):
    """How much is learned from a teacher; by default nothing.

    A grounded head with pooling `mass` learns the teacher's whole distribution. Others learn from `rehearsal` alone,
    and of that only the items that were drawn.
    """

    teacher: Literal["memory", "product"] = "memory"
    """The memory, or its product with copies of the model: one for every fold, trained beforehand on all others, taught
    by the memory. That takes somewhat less than `folds` trainings of the model more, and needs pooling `mass`."""
    share: float = Field(default=0.0, ge=0, lt=1)
    """Share of a case's loss that is the cross-entropy against the teacher's distribution."""
    folds: int = Field(default=5, ge=2)
    """Parts the training rows are dealt into; each is told what was learned on the others."""
    rehearsal: int = Field(default=0, ge=0)
    """Cases an epoch for every item of the catalogue whose history is that item alone; the teacher answers them."""
    evidence: Literal["text", "none"] = "text"
    """Whether the memory smooths its counts over items of like text (M2), or only counts (M0)."""
    memory: MemorySettings = MemorySettings()
    """Settings of the memory that teaches."""

    @property
    def teaches(self) -> bool:
        """Whether anything is asked of a teacher."""
        return bool(self.share or self.rehearsal)

    @property
    def with_copies(self) -> bool:
        """Whether copies of the model are to be trained."""
        return self.teaches and self.teacher == "product"

    def of_copies(self) -> Self:
        """Return how the copies are taught: by the memory alone."""
        return self.model_copy(update={"teacher": "memory"})


def check_teachable(settings: DistillationSettings, *, flat: bool) -> None:
    """Refuse to distil into, or from, a head without a distribution over items at its root.

    Raises:
        ValueError: as said; for a model's validator.
    """
    if flat:
        return
    if settings.share:
        raise ValueError(
            f'training.distillation.share is {settings.share:g}, but only a head "grounded" with pooling "mass"'
            " has a distribution over items to learn it in; set the head so, or share = 0"
        )
    if settings.with_copies:
        raise ValueError(
            'training.distillation.teacher is "product", but only a head "grounded" with pooling "mass" has a'
            ' distribution over items to teach; set the head so, or teacher = "memory"'
        )


class Answers(Protocol):
    """What a teacher asks: a number for every item, of which negative ones are nothing."""

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: (rows, I)."""
        ...


Reading = Callable[[Sequences], NDArray[np.float32]]
"""What a copy of the model says: the log-probabilities (rows, I) of all items."""


class Product:
    """The memory times copies of the model, which count as one however many they are."""

    def __init__(self, memory: Memory, copies: Sequence[Reading]) -> None:
        """Take what is multiplied."""
        self._memory, self._copies = memory, tuple(copies)

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Return the product's distribution for every history: (rows, I)."""
        counted = shares(self._memory.scores(histories))
        logs = log_floored(counted, _FLOOR, counted.shape[1])
        for copy in self._copies:
            logs += copy(histories) / np.float32(len(self._copies))
        found: NDArray[np.float32] = np.exp(log_softmax(logs))
        return found


class DistillationTeacher:
    """The memory or a product, made once for every fold without it and once on all training rows.

    Attributes:
        rehearsed: rows of two, an item and what was drawn from the teacher to follow it; training rows are numbered
            first, these after them.
    """

    def __init__(
        self,
        answers: Sequence[Answers],
        fold_of: NDArray[np.int64],
        share_of: NDArray[np.float32],
        rehearsed: Sequences,
        n_items: int,
    ) -> None:
        """Hold what is asked, which of it each row asks, and the share of its loss that it is told."""
        self._answers, self._fold_of, self._share_of = tuple(answers), fold_of, share_of
        self.rehearsed, self._n_items = rehearsed, n_items

    @classmethod
    def fit(
        cls,
        train: Sequences,
        texts: Sequence[str],
        settings: DistillationSettings,
        *,
        flat: bool = True,
        seed: int = 0,
        copies: Callable[[int, NDArray[np.int64]], Reading] | None = None,
    ) -> Self | None:
        """Deal the training rows into folds, count and train copies, and rehearse; None where nothing is asked for.

        Args:
            train: rows of item numbers, oldest first.
            texts: one per item of the catalogue.
            settings: teacher, shares, folds, rehearsal and evidence.
            flat: whether the model's head has a distribution over items, which can be told more than one item.
            seed: of dealing and drawing.
            copies: trains a copy of the model for a fold on the training rows of these numbers, and says how it is
                read; needed for a product.

        Raises:
            DataError: there are fewer training rows than folds.
            ValueError: a product is asked for without `copies`, or the head has no distribution to teach or to be told.
        """
        check_teachable(settings, flat=flat)
        if not settings.teaches:
            return None
        apart = bool(settings.share) or settings.with_copies
        if apart and len(train) < settings.folds:
            raise DataError(
                f"distillation.folds is {settings.folds}, but there are {len(train):,} training rows;"
                ' give fewer folds, or teacher = "memory" with share = 0'
            )
        given = texts if settings.evidence == "text" else None
        folds = settings.folds if apart else 0
        fold_of = np.random.default_rng(seed).permutation(np.arange(len(train)) % max(folds, 1))
        others = [np.flatnonzero(fold_of != fold) for fold in range(folds)]
        memories = [Memory(settings.memory).fit(train.take(rows), len(texts), texts=given) for rows in others]
        answers: list[Answers] = [*memories]
        read: list[Reading] = []
        if settings.with_copies:
            if copies is None:
                raise ValueError(
                    'a teacher "product" needs copies of the model: say what trains them, or take teacher = "memory"'
                )
            with Progress("Copies that teach", total=folds) as progress:
                for fold, rows in enumerate(others):
                    read.append(copies(fold, rows))
                    progress.advance()
            answers = [Product(memory, [copy]) for memory, copy in zip(memories, read, strict=True)]
        rehearsed = Sequences.from_lists([])
        if settings.rehearsal:
            whole = Memory(settings.memory).fit(train, len(texts), texts=given)
            answers.append(Product(whole, read) if read else whole)
            rehearsed = rehearse(answers[-1], len(texts), settings.rehearsal, seed=seed)
        more = np.full(len(rehearsed), folds)
        share_of = np.repeat([settings.share, REHEARSED if flat else 0.0], [len(train), len(rehearsed)])
        return cls(answers, np.concatenate([fold_of, more]), share_of.astype(np.float32), rehearsed, len(texts))

    @property
    def tells(self) -> bool:
        """Whether any case is told a distribution."""
        return bool(self._share_of.any())

    def soft_targets(self, histories: Sequences, rows: NDArray[np.int64]) -> Tensor:
        """Return what cases are told, as parts of their loss: float32 (R, I), each row sums to its share, or to 0.

        Args:
            histories: of the cases, oldest first.
            rows: (R,) the training row of each, rehearsed ones numbered after them, −1 for none; those, empty histories
                and rows whose share is 0 are told nothing.
        """
        share_R = np.where((rows >= 0) & (histories.lengths > 0), self._share_of[np.maximum(rows, 0)], 0)
        folds = np.where(share_R > 0, self._fold_of[np.maximum(rows, 0)], -1)
        soft_targets_RI = np.zeros((len(rows), self._n_items), dtype=np.float32)
        for fold in np.unique(folds[folds >= 0]):
            asked = np.flatnonzero(folds == fold)
            soft_targets_RI[asked] = np.maximum(self._answers[fold].scores(histories.take(asked)), 0)
        total = soft_targets_RI.sum(axis=1, keepdims=True)
        np.divide(soft_targets_RI, total, out=soft_targets_RI, where=total > 0)
        soft_targets_RI *= share_R[:, None]
        return torch.from_numpy(soft_targets_RI)


def rehearse(teacher: Answers, n_items: int, cases: int, *, seed: int = 0) -> Sequences:
    """Draw from a teacher what follows each item on its own: rows of two items, `cases` for every item.

    Items of which the teacher knows no successor are left out.
    """
    random = np.random.default_rng([seed, 1])
    block = max(1, _ENTRIES // n_items)
    parts = []
    for first in range(0, n_items, block):
        items = np.arange(first, min(first + block, n_items))
        alone = Sequences(items.astype(np.int32), np.arange(len(items) + 1))
        mass = np.maximum(teacher.scores(alone), 0).cumsum(axis=1, dtype=np.float64)
        known = np.flatnonzero(mass[:, -1] > 0)
        row = np.repeat(np.arange(len(known)), cases)
        # rows one above the other make one rising line, so that all draws are one search
        line = (mass[known] / mass[known, -1:] + np.arange(len(known))[:, None]).ravel()
        place = np.searchsorted(line, row + random.random(len(row)), side="right")
        parts.append(np.stack([items[known[row]], np.minimum(place - row * n_items, n_items - 1)], axis=1))
    drawn = np.concatenate(parts)
    return Sequences(drawn.ravel().astype(np.int32), 2 * np.arange(len(drawn) + 1))


AnyTraining = TypeVar("AnyTraining", bound=Settings)
AnyRecommender = TypeVar("AnyRecommender", bound=GenerativeRecommender[Any])


def copies_of(
    recommender: AnyRecommender,
    settings: AnyTraining,
    folder: Path,
    fit: Callable[[AnyRecommender, NDArray[np.int64], AnyTraining, Path], AnyRecommender],
) -> Callable[[int, NDArray[np.int64]], Reading]:
    """Return the function that trains copies of an untrained recommender for `DistillationTeacher`.

    Args:
        recommender: the recommender to copy.
        settings: its training settings; copies are taught by the memory alone and have seeds of their own.
        folder: where its checkpoints go; those of the copies go below.
        fit: trains a copy on the training rows of some numbers, with such settings, in such a folder.
    """

    def copy_for(fold: int, rows: NDArray[np.int64]) -> Reading:
        own: Any = settings  # every training has `distillation` and `seed`
        how = settings.model_copy(update={"distillation": own.distillation.of_copies(), "seed": own.seed + fold + 1})
        trained = fit(recommender.apart(), rows, how, folder / "copies" / str(fold))
        reading: Reading = trained.searcher.item_log_probabilities
        return reading

    return copy_for


# -------------------------------------------------------------------------------------------------------------- experts
# Experts: scorers read as distributions over items, so that they can be multiplied with a model's.
#
# Two readings. Scores that count something (memory, popularity, item-kNN, EASE, ALS) are *shares*: negative ones are
# nothing, rows are scaled to sum 1, and every item gets a small floor, so that what was never counted is unlikely and
# not impossible. Scores of networks trained with a softmax are *logits*. In a product of experts a temperature would
# only rescale the expert's weight, so there is none: log softmax(s / T) · w differs from log softmax(s) · (w / T) by
# a constant of the history.


_LEAST = -60.0
"""No item is less likely than e^−60 in an expert's eyes: what it rules out, others may still bring back."""


def shares(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale scores (rows, n_items) to shares that sum to 1; negative ones are 0, and so is a row without any."""
    positive = np.maximum(scores, 0).astype(np.float32)
    total = positive.sum(axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return found


def log_floored(shares: NDArray[np.float32], floor: float, n_items: int) -> NDArray[np.float32]:
    """Return log((share + floor) / (1 + n_items · floor)): a distribution over the catalogue of `n_items` items."""
    logs: NDArray[np.float32] = np.log(shares + np.float32(floor)) - np.float32(np.log1p(n_items * floor))
    return logs


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the log-probabilities of logits (rows, n_items), none below e^−60."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    found: NDArray[np.float32] = np.maximum(logs, _LEAST).astype(np.float32)
    return found

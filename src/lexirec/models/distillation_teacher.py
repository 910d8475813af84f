"""Knowledge distillation from item co-occurrence: a share of a model's loss is soft targets over all items.

A bought item says of every other item that it was wrong; a teacher's scores say which others were nearly right, rare
ones among them. The teacher is the memory (text-smoothed item co-occurrence), or its product with copies of the model
itself. A teacher that has counted the very event it scores would leak the answer, so teachers are cross-fitted:
training rows (users) are split into folds, and the soft targets of a row come from the other folds alone.

Rehearsal adds cases about items rather than users: the history is a single item, each item of the catalogue equally
often, and the memory of all training rows (times all copies) draws the target. Rare items are rarely a history, so a
model hardly learns what follows them; the memory, which smooths its counts over similar texts, has an estimate.

Source: knowledge distillation is Hinton, Vinyals and Dean (2015), for rankers Tang and Wang (KDD 2018), a teacher of
the student's own architecture Furlanello et al. (ICML 2018, "Born-Again Neural Networks"); counts as a teacher, its
product with copies, cross-fitting and rehearsal are ours, measured in docs/log/.

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
from lexirec.models.score_distributions import log_floored, log_softmax, shares

REHEARSED = 0.95
"""Share of a rehearsed case's loss that goes to the memory's distribution; the rest goes to the item drawn from it,
which trains the later tokens of identifiers."""

_FLOOR = 0.001
"""Share of an item without counts, in a product: the largest floor that ensembles try by default."""
_ENTRIES = 2**24  # scores held at once


class DistillationSettings(Settings):
    """Teacher and weight of the soft targets; by default there are none.

    A grounded head with pooling `mass` learns the teacher's whole distribution. Other heads learn from `rehearsal`
    alone, and there from the drawn items only.
    """

    teacher: Literal["memory", "product"] = "memory"
    """The memory, or its product with copies of the model: one per fold, trained beforehand on the other folds with the
    memory as teacher. That costs a little less than `folds` further trainings of the model, and needs pooling
    `mass`."""
    share: float = Field(default=0.0, ge=0, lt=1)
    """Share of a case's loss that is the cross-entropy against the teacher's distribution."""
    folds: int = Field(default=5, ge=2)
    """Folds of the training rows; the soft targets of each come from a teacher fitted on the others."""
    rehearsal: int = Field(default=0, ge=0)
    """Cases per epoch and item whose history is that item alone; the teacher draws their targets."""
    evidence: Literal["text", "none"] = "text"
    """Whether the memory smooths its counts over items with similar texts (M2), or only counts (M0)."""
    memory: MemorySettings = MemorySettings()
    """Settings of the memory in the teacher."""

    @property
    def enabled(self) -> bool:
        """Whether a teacher is used at all."""
        return bool(self.share or self.rehearsal)

    @property
    def with_copies(self) -> bool:
        """Whether the teacher contains copies of the model."""
        return self.enabled and self.teacher == "product"

    def for_copies(self) -> Self:
        """Return the settings by which the copies are trained: the memory alone is their teacher."""
        return self.model_copy(update={"teacher": "memory"})


def check_teachable(settings: DistillationSettings, *, flat: bool) -> None:
    """Check that the head has a distribution over items where distillation needs one.

    Args:
        settings: teacher and weights.
        flat: whether the head has a distribution over items at the root of the trie.

    Raises:
        ValueError: it has none, and `share` or a teacher "product" needs it; for a model's validator.
    """
    if flat:
        return
    if settings.share:
        raise ValueError(
            f'training.distillation.share is {settings.share:g}, but soft targets need a head "grounded" with pooling'
            ' "mass", which has a distribution over items; set that head, or share = 0'
        )
    if settings.with_copies:
        raise ValueError(
            'training.distillation.teacher is "product", but copies of the model can teach only with a head "grounded"'
            ' with pooling "mass", which has a distribution over items; set that head, or teacher = "memory"'
        )


class ItemScorer(Protocol):
    """A scorer of all items whose negative scores count as 0."""

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: (rows, I)."""
        ...


ItemLogProbs = Callable[[Sequences], NDArray[np.float32]]
"""A trained copy of the model: from histories to the log-probabilities (rows, I) of all items."""


class ProductTeacher:
    """The memory times the geometric mean of copies of the model (a product of experts)."""

    def __init__(self, memory: Memory, copies: Sequence[ItemLogProbs]) -> None:
        """Hold the experts."""
        self._memory, self._copies = memory, tuple(copies)

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Return the product's distribution for every history: (rows, I)."""
        counted = shares(self._memory.scores(histories))
        logs = log_floored(counted, _FLOOR, counted.shape[1])
        for copy in self._copies:
            logs += copy(histories) / np.float32(len(self._copies))
        product: NDArray[np.float32] = np.exp(log_softmax(logs))
        return product


class DistillationTeacher:
    """Cross-fitted teachers: one per fold, fitted on the other folds, and one on all training rows for rehearsal.

    Attributes:
        rehearsed: rows of two items, an item and the successor drawn from the teacher; they are numbered after the
            training rows.
    """

    def __init__(
        self,
        scorers: Sequence[ItemScorer],
        fold_of: NDArray[np.int64],
        share_of: NDArray[np.float32],
        rehearsed: Sequences,
        n_items: int,
    ) -> None:
        """Hold the scorers, the scorer of each row, and the share of each row's loss that goes to soft targets."""
        self._scorers, self._fold_of, self._share_of = tuple(scorers), fold_of, share_of
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
        copies: Callable[[int, NDArray[np.int64]], ItemLogProbs] | None = None,
    ) -> Self | None:
        """Split the training rows into folds, fit the teachers and draw the rehearsal; None without distillation.

        Args:
            train: rows of item numbers, oldest first.
            texts: one per item of the catalogue.
            settings: teacher, shares, folds, rehearsal and evidence.
            flat: whether the model's head has a distribution over items, which soft targets need.
            seed: of folds and drawing.
            copies: trains a copy of the model for a fold on the training rows of these numbers, and returns its
                item log-probabilities; needed for a product.

        Raises:
            DataError: there are fewer training rows than folds.
            ValueError: the teacher is a product and `copies` is missing, or the head lacks a distribution over items.
        """
        check_teachable(settings, flat=flat)
        if not settings.enabled:
            return None
        cross_fitted = bool(settings.share) or settings.with_copies
        if cross_fitted and len(train) < settings.folds:
            raise DataError(
                f"distillation.folds is {settings.folds}, but there are only {len(train):,} training rows;"
                ' set fewer folds, or teacher = "memory" with share = 0'
            )
        smoothing = texts if settings.evidence == "text" else None
        folds = settings.folds if cross_fitted else 0
        fold_of = np.random.default_rng(seed).permutation(np.arange(len(train)) % max(folds, 1))
        others = [np.flatnonzero(fold_of != fold) for fold in range(folds)]
        memories = [Memory(settings.memory).fit(train.take(rows), len(texts), texts=smoothing) for rows in others]
        scorers: list[ItemScorer] = [*memories]
        trained: list[ItemLogProbs] = []
        if settings.with_copies:
            if copies is None:
                raise ValueError('teacher is "product", but `copies` is None; give it, or set teacher = "memory"')
            with Progress("Training teacher copies", total=folds) as progress:
                for fold, rows in enumerate(others):
                    trained.append(copies(fold, rows))
                    progress.advance()
            scorers = [ProductTeacher(memory, [copy]) for memory, copy in zip(memories, trained, strict=True)]
        rehearsed = Sequences.from_lists([])
        if settings.rehearsal:
            whole = Memory(settings.memory).fit(train, len(texts), texts=smoothing)
            scorers.append(ProductTeacher(whole, trained) if trained else whole)
            rehearsed = rehearse(scorers[-1], len(texts), settings.rehearsal, seed=seed)
        of_rehearsed = np.full(len(rehearsed), folds)
        share_of = np.repeat([settings.share, REHEARSED if flat else 0.0], [len(train), len(rehearsed)])
        return cls(scorers, np.concatenate([fold_of, of_rehearsed]), share_of.astype(np.float32), rehearsed, len(texts))

    @property
    def has_soft_targets(self) -> bool:
        """Whether any case has soft targets."""
        return bool(self._share_of.any())

    def soft_targets(self, histories: Sequences, rows: NDArray[np.int64]) -> Tensor:
        """Return teacher probabilities for a batch, scaled by the distillation weight: float32 (R, I).

        Each row sums to its share of the loss, or to 0 where it has no soft targets.

        Args:
            histories: of the cases, oldest first.
            rows: (R,) the training row of each case, rehearsed rows numbered after them, −1 for none. Cases without a
                row, with an empty history or with a share of 0 have no soft targets.
        """
        share_R = np.where((rows >= 0) & (histories.lengths > 0), self._share_of[np.maximum(rows, 0)], 0)
        folds = np.where(share_R > 0, self._fold_of[np.maximum(rows, 0)], -1)
        soft_targets_RI = np.zeros((len(rows), self._n_items), dtype=np.float32)
        for fold in np.unique(folds[folds >= 0]):
            of_fold = np.flatnonzero(folds == fold)
            soft_targets_RI[of_fold] = np.maximum(self._scorers[fold].scores(histories.take(of_fold)), 0)
        total = soft_targets_RI.sum(axis=1, keepdims=True)
        np.divide(soft_targets_RI, total, out=soft_targets_RI, where=total > 0)
        soft_targets_RI *= share_R[:, None]
        return torch.from_numpy(soft_targets_RI)


def rehearse(teacher: ItemScorer, n_items: int, cases: int, *, seed: int = 0) -> Sequences:
    """Draw successors of single items from a teacher: rows of two items, `cases` for every item.

    Items to which the teacher gives no successor are left out.
    """
    random = np.random.default_rng([seed, 1])
    block = max(1, _ENTRIES // n_items)
    parts = []
    for first in range(0, n_items, block):
        items = np.arange(first, min(first + block, n_items))
        alone = Sequences(items.astype(np.int32), np.arange(len(items) + 1))
        mass = np.maximum(teacher.scores(alone), 0).cumsum(axis=1, dtype=np.float64)
        answered = np.flatnonzero(mass[:, -1] > 0)
        row = np.repeat(np.arange(len(answered)), cases)
        # row r's cumulative distribution is shifted by r, so that all rows form one sorted array and one search draws
        cumulative = (mass[answered] / mass[answered, -1:] + np.arange(len(answered))[:, None]).ravel()
        index = np.searchsorted(cumulative, row + random.random(len(row)), side="right")
        parts.append(np.stack([items[answered[row]], np.minimum(index - row * n_items, n_items - 1)], axis=1))
    drawn = np.concatenate(parts)
    return Sequences(drawn.ravel().astype(np.int32), 2 * np.arange(len(drawn) + 1))


AnyTraining = TypeVar("AnyTraining", bound=Settings)
AnyRecommender = TypeVar("AnyRecommender", bound=GenerativeRecommender[Any])


def copy_trainer(
    recommender: AnyRecommender,
    settings: AnyTraining,
    folder: Path,
    fit: Callable[[AnyRecommender, NDArray[np.int64], AnyTraining, Path], AnyRecommender],
) -> Callable[[int, NDArray[np.int64]], ItemLogProbs]:
    """Return the function that trains copies of an untrained recommender for `DistillationTeacher`.

    Args:
        recommender: the recommender to copy.
        settings: its training settings; the memory alone teaches the copies, and each has its own seed.
        folder: of its checkpoints; those of the copies go below.
        fit: trains a copy on the training rows of some numbers, with such settings, in such a folder.
    """

    def copy_for(fold: int, rows: NDArray[np.int64]) -> ItemLogProbs:
        own: Any = settings  # every training has `distillation` and `seed`
        how = settings.model_copy(update={"distillation": own.distillation.for_copies(), "seed": own.seed + fold + 1})
        trained = fit(recommender.clone(), rows, how, folder / "copies" / str(fold))
        item_log_probs: ItemLogProbs = trained.searcher.item_log_probabilities
        return item_log_probs

    return copy_for

"""The base class of baselines, and what they share: histories as sparse rows, popularity, arrays on disk.

A baseline is a scorer: it gives every item of the catalogue a number for every history.

    fit(train, n_items, …) -> itself        learn; `train` holds rows of item numbers, oldest first
    scores(histories) -> float32 (rows, n_items)
    save(folder), load(folder)              a folder with `settings.json` and arrays, no pickle

`Baseline` fits, saves and loads by itself what learns from the training rows alone and keeps arrays; the table of
baselines is `registry.py`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from lexirec.core.arguments import NotFittedError, expect
from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.registry import PartSettings
from lexirec.data.neighbors import Matrix, Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases

S = TypeVar("S", bound=Settings)
_CELLS = 1 << 24
"""Maximum number of scores in memory: 64 MiB in float32."""


def history_rows(histories: Sequences, n_items: int, decay: float = 1.0) -> Matrix:
    """Turn histories into sparse rows: the newest item counts 1, the one before `decay`, then decay² …

    Returns:
        float32 (rows, n_items); an item that stands twice has both its weights.

    Raises:
        DataError: a number is not that of an item; sparse products with such rows would leave their memory.
    """
    histories.check(n_items)
    age = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.items))
    weights = np.power(decay, age, dtype=np.float64).astype(np.float32)
    offsets = histories.offsets.copy()  # scipy changes rows in place when duplicates are summed
    return sparse.csr_array((weights, histories.items.copy(), offsets), shape=(len(histories), n_items))


def binary_rows(histories: Sequences, n_items: int) -> Matrix:
    """Turn histories into sparse rows of ones, however often an item stands in one: float32 (rows, n_items)."""
    rows = history_rows(histories, n_items)
    rows.sum_duplicates()
    rows.data[:] = 1.0
    return rows


def popularity(train: Sequences, n_items: int) -> NDArray[np.float32]:
    """Return each item's share of all training events: float32 (n_items,), summing to 1 unless there are none."""
    counts = train.counts(n_items)
    return (counts / max(int(counts.sum()), 1)).astype(np.float32)


def score_batches(rows: int, n_items: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches whose scores of all items fit into memory."""
    size = max(1, _CELLS // max(n_items, 1))
    for first in range(0, rows, size):
        yield np.arange(first, min(first + size, rows))


def dense(scores: Any) -> NDArray[np.float32]:
    """Return a sparse product as a dense float32 matrix."""
    return np.asarray(scores.toarray(), dtype=np.float32)


def answer_newcomers(
    scores: NDArray[np.float32], histories: Sequences, shares: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fill the rows of empty histories with popularity, in place: a shopper without history gets what most buy."""
    scores[histories.lengths == 0] = shares
    return scores


def save_fitted(folder: str | Path, settings: Settings, **arrays: NDArray[Any]) -> None:
    """Write settings and arrays of a fitted scorer into the folder."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "settings.json").write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, target / "arrays.safetensors")


def load_fitted(folder: str | Path, cls: type[S]) -> tuple[S, dict[str, NDArray[Any]]]:
    """Read what `save_fitted` wrote.

    Raises:
        ArtifactError: a file is missing, damaged or of another kind of scorer.
    """
    source = Path(folder)
    try:
        settings = cls.model_validate(json.loads((source / "settings.json").read_text(encoding="utf-8")))
        return settings, dict(load_file(source / "arrays.safetensors"))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{source}: this is no saved {cls.__name__} ({reason}); fit and save it again") from None
    except Exception as error:  # safetensors raises its own class, which derives from Exception only
        raise ArtifactError(f"{source}/arrays.safetensors: damaged ({error}); fit and save it again") from None


def fitted_array(name: str, arrays: Mapping[str, NDArray[Any]], folder: str | Path) -> NDArray[Any]:
    """Return one of the arrays that `load_fitted` gave.

    Raises:
        ArtifactError: it is not among them.
    """
    if name not in arrays:
        raise ArtifactError(f"{folder}: the array '{name}' is missing; fit and save the model again")
    return arrays[name]


def pack_matrix(name: str, matrix: Matrix) -> dict[str, NDArray[Any]]:
    """Name the three arrays of a sparse matrix, for `save_fitted`."""
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    return {f"{name}.{part}": array for part, array in parts.items()}


def unpack_matrix(name: str, arrays: Mapping[str, NDArray[Any]]) -> Matrix:
    """Put a square sparse matrix together again from what `pack_matrix` named."""
    data, indices, indptr = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, len(indptr) - 1))


class Scorer(Protocol):
    """Something that gives every item a number for every history."""

    @property
    def settings(self) -> Settings:
        """Its settings; the field `kind` names it."""

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items), no NaN, −inf for the impossible."""

    def save(self, folder: str | Path) -> None:
        """Write the fitted scorer into a folder."""


# ------------------------------------------------------------------------------------------------------- base classes


_FITTED = ("shares", "network", "counted", "vectors")
"""Attributes that `fit` makes and no class lists among its arrays."""


def _checked(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `fit` that checks the training rows and the number of items first."""

    @wraps(fit)
    def checked(self: Any, train: Sequences, n_items: int, *args: Any, **options: Any) -> Any:
        rows = "pass rows of item numbers, such as split.train or Sequences.from_lists([[0, 5, 2]])"
        expect("train", train, Sequences, rows)
        expect("n_items", n_items, (int, np.integer), "pass the number of items, such as len(catalog)")
        if len(train.items) and not 0 <= int(train.items.min()) <= int(train.items.max()) < n_items:
            low, high = int(train.items.min()), int(train.items.max())
            raise DataError(
                f"train holds item numbers from {low} to {high}, but n_items is {n_items}; they should be from 0 to "
                "n_items - 1"
            )
        return fit(self, train, n_items, *args, **options)

    return checked


class BaselineSettings(PartSettings):
    """Settings of a baseline; `needs` may name `vectors`, `neighbors` and `times` of the experiment."""

    def stored(self) -> BaselineSettings:
        """Return the settings that the fitted baseline is stored under, these unless others give the same result."""
        return self

    def too_large(self, n_items: int, n_users: int) -> str | None:
        """Return why so many items and users are too much for this baseline, in one line; None where they are not."""
        return None


@dataclass(frozen=True)
class BaselineInputs:
    """What a baseline can be fitted on; what is not needed is never read.

    Attributes:
        train: Rows of item numbers, oldest first.
        n_items: Size of the catalogue.
        validation: Cases that may choose an epoch.
        progress: A folder from which a killed fit carries on.
        readers: How `texts`, `vectors`, `neighbors` and `times` are read.
    """

    train: Sequences
    n_items: int
    validation: Cases | None = None
    progress: Path | None = None
    readers: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    @property
    def texts(self) -> Sequence[str]:
        """The items' texts, in catalogue order."""
        texts: Sequence[str] = self.readers["texts"]()
        return texts

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The items' vectors: float32 (n_items, d)."""
        vectors: NDArray[np.float32] = self.readers["vectors"]()
        return vectors

    @property
    def neighbors(self) -> Neighbors:
        """The items' neighbours."""
        neighbors: Neighbors = self.readers["neighbors"]()
        return neighbors

    @property
    def times(self) -> NDArray[np.float64] | None:
        """Seconds since 1970 of every training event, in the order of `train.items`; None where events have none."""
        times: NDArray[np.float64] | None = self.readers["times"]()
        return times


class Baseline(ABC):
    """A scorer that experiments fit and save; a class of its own has `settings_class`, `fit` and `scores`."""

    settings_class: ClassVar[type[BaselineSettings]]
    """Its settings, as they are saved."""
    options: ClassVar[type[BaselineSettings] | None] = None
    """Settings of an experiment file, where they say more than the scorer's own (what it is fitted on)."""
    arrays: ClassVar[tuple[str, ...]] = ("shares",)
    """Attributes that `fit` makes and a folder keeps: arrays."""
    matrices: ClassVar[tuple[str, ...]] = ()
    """Likewise: square sparse matrices."""
    settings: Any

    def __init__(self, settings: BaselineSettings | None = None) -> None:
        """Keep the settings, by default those of `settings_class()`."""
        kind = self.settings_class.__name__
        expect("settings", settings, (Settings, type(None)), f"pass {kind}(...) or nothing")
        self.settings = settings or self.settings_class()

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the class's own `fit` check its arguments."""
        super().__init_subclass__(**options)
        if "fit" in cls.__dict__:
            cls.fit = _checked(cls.fit)  # type: ignore[method-assign]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say of what `fit` makes that it has not been called."""
            if name in (*self.arrays, *self.matrices, *_FITTED):
                raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit, or load a saved one")
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @abstractmethod
    def fit(self, train: Sequences, n_items: int) -> Self:
        """Learn from rows of item numbers, oldest first."""

    @abstractmethod
    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items), no NaN, −inf for the impossible."""

    @classmethod
    def fitted(cls, settings: Any, inputs: BaselineInputs) -> Self:
        """Return a fitted scorer; a class that reads more than the training rows takes it from the inputs."""
        return cls(settings).fit(inputs.train, inputs.n_items)

    def save(self, folder: str | Path) -> None:
        """Write settings, arrays and matrices into the folder."""
        arrays = {name: getattr(self, name) for name in self.arrays}
        for name in self.matrices:
            arrays |= pack_matrix(name, getattr(self, name))
        save_fitted(folder, self.settings, **arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        settings, arrays = load_fitted(folder, cls.settings_class)
        model = cls(settings)
        for name in cls.arrays:
            setattr(model, name, fitted_array(name, arrays, folder))
        for name in cls.matrices:
            fitted_array(f"{name}.data", arrays, folder)
            setattr(model, name, unpack_matrix(name, arrays))
        return model

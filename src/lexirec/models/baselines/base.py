"""What every scorer needs: histories as sparse rows, an answer for shoppers without history, arrays on disk.

A scorer gives every item of the catalogue a number for every history:

    fit(train, n_items, …) -> itself        learn; `train` holds rows of item numbers, oldest first
    scores(histories) -> float32 (rows, n_items)
    save(folder), load(folder)              a folder with `settings.json` and arrays, no pickle
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.data.neighbors import Matrix
from lexirec.data.sequences import Sequences

S = TypeVar("S", bound=Settings)


def history_rows(histories: Sequences, n_items: int, decay: float = 1.0) -> Matrix:
    """Turn histories into sparse rows: the newest item counts 1, the one before `decay`, then decay² …

    Returns:
        float32 (rows, n_items); an item that stands twice has both its weights.
    """
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


def unpack_matrix(name: str, arrays: dict[str, NDArray[Any]]) -> Matrix:
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

"""What every recommender shares: the protocol, what a ranking is, checks of requests, manifests of folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences


@dataclass(frozen=True)
class Ranking:
    """The best items of every history.

    Attributes:
        items: item numbers, best first, int32 (rows, k); −1 where nothing more may be recommended.
        scores: float32 (rows, k), falling; −inf where the item is −1.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Recommender(Protocol):
    """What evaluation, the command line and applications ask of a recommender."""

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked; item numbers are its rows."""

    @property
    def protocol(self) -> dict[str, Any]:
        """What a protocol card says about how lists are made (kind, search, width …); JSON values only.

        `probabilities` is true where scores are log-probabilities that sum to one over the whole catalogue. Excluding
        seen items takes their share out and leaves the other scores as they are.
        """

    def rank(
        self, histories: Sequences, *, k: int, exclude_seen: bool = False, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank the k best items for every history.

        Args:
            histories: rows of item numbers, oldest first; an empty row is a newcomer and gets an answer, too.
            k: places, at least 1.
            exclude_seen: leave out every item of the history *that is given*, also those the model does not read.
            allowed: items that may appear, bool (n_items,) for all rows or (rows, n_items).
        """

    def save(self, folder: str | Path) -> None:
        """Write one complete folder that `load_recommender` reads."""


def check_request(rows: int, n_items: int, k: int, allowed: NDArray[np.bool_] | None) -> None:
    """Check what every `rank` is given.

    Raises:
        SettingsError: k is below 1, or `allowed` does not fit the histories and the catalogue.
    """
    if k < 1:
        raise SettingsError(f"k = {k}: at least one place is needed, for example k = 10")
    if allowed is not None and allowed.shape not in ((n_items,), (rows, n_items)):
        raise SettingsError(
            f"allowed has shape {allowed.shape}; it should be ({n_items},), one entry per item, or ({rows}, {n_items})"
        )


def check_sizes(catalog: Catalog, **known: int | None) -> None:
    """Check that what is known about items (name -> number of items, None where nothing is) is about the catalogue's.

    Raises:
        DataError: it is about another number of items.
    """
    for name, size in known.items():
        if size is not None and size != len(catalog):
            raise DataError(
                f"{name.replace('_', ' ')} are given for {size:,} items, the catalog has {len(catalog):,}; "
                "make them from it"
            )


def forbid(
    scores: NDArray[np.float32], histories: Sequences, exclude_seen: bool, allowed: NDArray[np.bool_] | None
) -> None:
    """Set the scores of seen and not allowed items to −inf, in place; (rows, n_items)."""
    if exclude_seen:
        scores[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] = -np.inf
    if allowed is not None:
        scores[~np.broadcast_to(allowed, scores.shape)] = -np.inf

"""The `Recommender` protocol, the `Ranking` it returns, and checks of ranking requests."""

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
        items: item numbers, best first, int32 (rows, k); −1 where no further item is allowed.
        scores: float32 (rows, k), descending; −inf where the item is −1.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Recommender(Protocol):
    """Interface of every recommender, used by evaluation, the command line and applications."""

    @property
    def catalog(self) -> Catalog:
        """The ranked items; item numbers are rows of this catalogue."""

    @property
    def protocol(self) -> dict[str, Any]:
        """Entries of the protocol card: how lists are made (kind, search, width …); JSON values only.

        `probabilities` is true where scores are log-probabilities that sum to one over the whole catalogue. Excluding
        seen items removes their share and leaves the other scores as they are. `settings` are the recommender's; each
        one called `seed` makes it a trained recommender, whose differences are shown from three seeds on. Without
        settings, `seeds` names the seeds, `{}` where no seed changes the lists.
        """

    def rank(
        self, histories: Sequences, *, k: int, exclude_seen: bool = False, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank the k best items for every history.

        Args:
            histories: rows of item numbers, oldest first; an empty row (a new user) gets a ranking, too.
            k: length of the lists, at least 1.
            exclude_seen: exclude every item of the passed history, also those beyond what the model reads.
            allowed: items that may appear, bool (n_items,) for all rows or (rows, n_items).
        """

    def save(self, folder: str | Path) -> None:
        """Write a complete folder that `load_recommender` reads."""


def check_request(
    histories: Sequences, n_items: int, k: int, allowed: NDArray[np.bool_] | None, exclude_seen: bool = False
) -> None:
    """Check the arguments of `Recommender.rank`; every recommender calls this first.

    Raises:
        DataError: `histories` are no `Sequences`, or hold a number that no item has.
        SettingsError: k is no whole number or below 1, `exclude_seen` is no truth value, or `allowed` does not fit the
            histories and the catalogue.
    """
    if not isinstance(histories, Sequences):
        raise DataError(
            f"histories are of type {type(histories).__name__}; pass Sequences, for example "
            "Sequences.from_lists([[0, 5, 2]]) for one history"
        )
    histories.check(n_items)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise SettingsError(
            f"k = {k!r}: a list needs at least one item, and a whole number of them, for example k = 10"
        )
    if not isinstance(exclude_seen, (bool, np.bool_)):
        raise SettingsError(f"exclude_seen = {exclude_seen!r}: pass True or False")
    if allowed is None:
        return
    shapes = f"({n_items},), one entry per item, or ({len(histories)}, {n_items})"
    if not isinstance(allowed, np.ndarray) or allowed.dtype != np.bool_:
        given = (
            f"an array of {allowed.dtype}" if isinstance(allowed, np.ndarray) else f"of type {type(allowed).__name__}"
        )
        raise SettingsError(f"allowed is {given}; it should be an array of bool of shape {shapes}")
    if allowed.shape not in ((n_items,), (len(histories), n_items)):
        raise SettingsError(f"allowed has shape {allowed.shape}; it should be {shapes}")


def check_sizes(catalog: Catalog, **sizes: int | None) -> None:
    """Check that a recommender's inputs have one entry per item of the catalogue.

    Args:
        catalog: the items.
        sizes: name of the input -> number of its entries, None where there is no such input.

    Raises:
        DataError: an input has another number of entries.
    """
    for name, size in sizes.items():
        if size is not None and size != len(catalog):
            raise DataError(
                f"{name.replace('_', ' ')} are given for {size:,} items, the catalog has {len(catalog):,}; "
                "compute them from this catalog"
            )


def forbid(
    scores: NDArray[np.float32], histories: Sequences, exclude_seen: bool, allowed: NDArray[np.bool_] | None
) -> None:
    """Set the scores (rows, n_items) of seen items and of items that are not allowed to −inf, in place."""
    if exclude_seen:
        scores[np.repeat(np.arange(len(histories)), histories.lengths), histories.items] = -np.inf
    if allowed is not None:
        scores[~np.broadcast_to(allowed, scores.shape)] = -np.inf

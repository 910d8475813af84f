"""The `Recommender` protocol, the `Ranking` it returns, and checks of ranking requests."""

from __future__ import annotations

from collections.abc import Callable
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
        bound: float32 (rows,), upper bound on the score of every item that the search pruned: −inf where it pruned
            nothing, +inf where nothing is known of it; None where the recommender gives no bounds. The first n items
            are provably the best ones where the bound is below the n-th score.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    bound: NDArray[np.float32] | None = None


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
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> Ranking:
        """Rank the k best items for every history.

        Args:
            histories: rows of item numbers, oldest first; an empty row (a new user) gets a ranking, too.
            k: length of the lists, at least 1.
            exclude_seen: exclude every item of the passed history, also those beyond what the model reads.
            allowed: items that may appear, bool (n_items,) for all rows or (rows, n_items).
            boosts: finite numbers added to the items' log-scores, float32 (n_items,) or (rows, n_items). They act in
                the search itself, so a boosted item is found however low it stood. Where scores are no logarithms, a
                row with a boost is ranked by the logarithm of each item's share of the scores, plus its boost; rows
                whose boosts are all 0 are ranked as without boosts.
        """

    def save(self, folder: str | Path) -> None:
        """Write a complete folder that `load_recommender` reads."""


def list_length(recommender: Recommender, k: int) -> int:
    """Return the length of a longer list, at least k, that costs the recommender no more and begins with the same k.

    A recommender says it by a method `list_length(k)`; without one it is k.
    """
    longer: Callable[[int], int] | None = getattr(recommender, "list_length", None)
    return k if longer is None else longer(k)


def check_request(
    histories: Sequences,
    n_items: int,
    k: int,
    allowed: NDArray[np.bool_] | None,
    exclude_seen: bool = False,
    boosts: NDArray[np.float32] | None = None,
) -> None:
    """Check the arguments of `Recommender.rank`; every recommender calls this first.

    Raises:
        DataError: `histories` are no `Sequences`, or hold a number that no item has.
        SettingsError: k is no whole number or below 1, `exclude_seen` is no truth value, `allowed` or `boosts` do not
            fit the histories and the catalogue, or a boost is not finite.
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
    _check_per_item("allowed is", allowed, np.dtype(np.bool_), len(histories), n_items)
    _check_per_item("boosts are", boosts, np.dtype(np.float32), len(histories), n_items)
    if boosts is not None and not np.isfinite(boosts).all():
        number = boosts[~np.isfinite(boosts)][0]
        raise SettingsError(
            f"boosts hold {number} for item {int(np.argwhere(~np.isfinite(boosts))[0, -1])}; a boost is a finite "
            "number; to leave items out, pass allowed"
        )


def _check_per_item(name: str, given: Any, wanted: np.dtype[Any], rows: int, n_items: int) -> None:
    """Check an optional array of one entry per item, for all rows or per row; `name` ends with its verb."""
    if given is None:
        return
    shapes = f"({n_items},), one entry per item, or ({rows}, {n_items})"
    if not isinstance(given, np.ndarray) or given.dtype != wanted:
        what = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else f"of type {type(given).__name__}"
        raise SettingsError(f"{name} {what}; it should be an array of {wanted} of shape {shapes}")
    if given.shape not in ((n_items,), (rows, n_items)):
        raise SettingsError(f"{name.split()[0]} has shape {given.shape}; it should be {shapes}")


def of_rows(per_item: NDArray[Any] | None, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    """Return what a request gives per item, `allowed` or `boosts`, for some of its rows: (n_items,) serves all rows."""
    return per_item if per_item is None or per_item.ndim == 1 else per_item[rows]


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


def newer_items(n_items: int, trained: int | None) -> NDArray[np.bool_] | None:
    """Return which items a recommender was not trained with, bool (n_items,); None where it knows all of them."""
    return None if trained is None else np.arange(n_items) >= trained

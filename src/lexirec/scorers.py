"""Scorers as recommenders: whatever gives every item a number ranks the whole catalogue.

A saved recommender is one complete folder: catalogue, scorer, and what made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import top_k
from lexirec.data.sequences import Sequences
from lexirec.errors import ArtifactError

_CARD = "recommender.json"


class Ranking(NamedTuple):
    """Ranked items: `items` int32 (rows, k), −1 beyond a list's end, and their `scores` float32 (rows, k)."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class Scorer(Protocol):
    """What gives every item of the catalogue a number for every history."""

    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Return float32 (rows, n_items)."""

    def save(self, folder: str | Path) -> None:
        """Write the fitted scorer into a folder."""


class Recommender(Protocol):
    """Whatever ranks a catalogue for histories."""

    @property
    def catalog(self) -> Catalog:
        """The items."""

    @property
    def protocol(self) -> dict[str, Any]:
        """What a protocol card says about how lists are made; JSON values only."""

    def rank(
        self, histories: Sequences, *, k: int, exclude_seen: bool, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank the catalogue for every history, leaving out seen items and those not `allowed`, bool (n_items,)."""

    def save(self, folder: str | Path) -> None:
        """Write everything `rank` needs into a folder."""


class ScoreRecommender:
    """Ranks the catalogue by a scorer's numbers; ties go to the smaller item number.

    Attributes:
        scorer: Fitted on this catalogue.
        kind: Which scorer it is, as in an experiment file.
    """

    def __init__(self, catalog: Catalog, scorer: Scorer, kind: str) -> None:
        """Put a catalogue and a scorer fitted on it together."""
        self._catalog = catalog
        self.scorer = scorer
        self.kind = kind

    @property
    def catalog(self) -> Catalog:
        """The items."""
        return self._catalog

    @property
    def protocol(self) -> dict[str, Any]:
        """What a protocol card says about how lists are made."""
        return {"recommender": self.kind, "search": "exact"}

    def rank(
        self, histories: Sequences, *, k: int, exclude_seen: bool, allowed: NDArray[np.bool_] | None = None
    ) -> Ranking:
        """Rank the catalogue for every history, leaving out seen items and those not `allowed`, bool (n_items,)."""
        scores = np.array(self.scorer.scores(histories))
        if exclude_seen:
            rows = np.repeat(np.arange(len(histories)), histories.lengths)
            scores[rows, histories.items] = -np.inf
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        return Ranking(*top_k(scores, k))

    def save(self, folder: str | Path) -> None:
        """Write catalogue, scorer and card into `folder`."""
        target = Path(folder)
        self.catalog.save(target / "catalog")
        self.scorer.save(target / "scorer")
        card = {"family": "scorer", "kind": self.kind, "catalog": self.catalog.digest}
        (target / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, loaders: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; `loaders` maps kinds to classes with `load(folder)`.

        Raises:
            ArtifactError: the folder holds no recommender, one of an unknown kind, or one of another catalogue.
        """
        source = Path(folder)
        card = read_card(source)
        kind, catalog = str(card.get("kind")), Catalog.load(source / "catalog")
        if kind not in loaders:
            raise ArtifactError(f"{source}: unknown kind of scorer '{kind}'; known are {', '.join(loaders)}")
        if catalog.digest != card.get("catalog"):
            raise ArtifactError(
                f"{source}: this {kind} was fitted on catalog {str(card.get('catalog'))[:12]}, and the folder holds "
                f"catalog {catalog.digest[:12]}; fit it again"
            )
        return cls(catalog, loaders[kind].load(source / "scorer"), kind)


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a saved recommender; raises ArtifactError where there is none."""
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ArtifactError(f"{folder} holds no saved recommender: there is no readable {_CARD}") from None
    return dict(card)

"""Baselines as recommenders: rank the whole catalogue exactly by a scorer of all items; save and load the result.

`ScoreRecommender` wraps any scorer (popularity, memory, EASE, SASRec …) and satisfies the protocol
`data.ranking.Recommender`. Ties go to the smaller item number, so rankings are reproducible.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import expect, given_path
from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.progress import Progress
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import top_k
from lexirec.data.ranking import Ranking, check_request, forbid, newer_items, of_rows
from lexirec.data.sequences import Sequences
from lexirec.data.sparse_neighbors import recall_in_words
from lexirec.models.baselines.base import Baseline, Scorer, score_batches
from lexirec.models.baselines.registry import BASELINES
from lexirec.models.recommend import Options, Recommendations, recommend
from lexirec.models.saving import MANIFEST, load_catalog, read_manifest, write_manifest
from lexirec.models.score_distributions import boosted

EASY_LIST = 256
"""Length of lists that costs nothing beside the scores of all items."""


class ScoreRecommender:
    """Ranks the whole catalogue by a scorer, exactly, in batches."""

    def __init__(self, catalog: Catalog, scorer: Scorer, *, trained: int | None = None) -> None:
        """Combine a catalogue and a scorer fitted on its item numbers.

        Args:
            catalog: The items.
            scorer: A fitted scorer of these items.
            trained: Number of leading items that it was fitted on; None for all. The others were added.
        """
        expect("catalog", catalog, Catalog, "pass the items, as Catalog.read returns them")
        if not hasattr(scorer, "scores"):
            raise DataError(f"scorer is of type {type(scorer).__name__}; pass a fitted one, such as Memory().fit(…)")
        self._catalog, self.scorer, self.trained = catalog, scorer, trained

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked."""
        return self._catalog

    @property
    def newer_items(self) -> NDArray[np.bool_] | None:
        """The items that it was not trained with, bool (n_items,); None where there are none."""
        return newer_items(len(self.catalog), self.trained)

    @property
    def kind(self) -> str:
        """The scorer's kind, as in an experiment file."""
        return str(self.scorer.settings.model_dump()["kind"])

    @property
    def protocol(self) -> dict[str, Any]:
        """How lists are made, for the protocol card."""
        card = {"recommender": self.kind, "search": "exact", "settings": self.scorer.settings.model_dump(mode="json")}
        recall = getattr(self.scorer, "recall", None)
        return card if recall is None else card | {"text_neighbours": recall_in_words(recall)}

    def rank(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> Ranking:
        """Rank the k best items for every history; see `Recommender.rank`.

        Raises:
            SettingsError: k is below 1, `allowed` or `boosts` do not fit the histories and the catalogue, or a boost is
                not finite.
            TrainingError: the scorer gives NaN or +inf.
        """
        check_request(histories, len(self._catalog), k, allowed, exclude_seen, boosts)
        kind = getattr(getattr(self.scorer, "settings", None), "kind", type(self.scorer).__name__)
        named = f"the recommender '{kind}'"
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
        with Progress("Ranking", total=len(histories)) as progress:
            for rows in score_batches(len(histories), len(self._catalog)):
                part = histories.take(rows)
                scores_of_part = self.scorer.scores(part)
                boosts_of_part = of_rows(boosts, rows)
                if boosts_of_part is not None:
                    logits = getattr(self.scorer, "logits", False)
                    scores_of_part = boosted(scores_of_part, boosts_of_part, logits=logits, of=named)
                forbid(scores_of_part, part, exclude_seen, of_rows(allowed, rows))
                items[rows], scores[rows] = top_k(scores_of_part, k, of=named)
                progress.advance(len(rows))
        return Ranking(items, scores, np.full(len(histories), -np.inf, dtype=np.float32))

    def list_length(self, k: int) -> int:
        """Return the length of a list that costs no more than k items; see `data.ranking.list_length`."""
        return max(k, EASY_LIST)

    def recommend(self, history: Sequence[str], *, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Recommend items for one history of item ids, oldest first; see `models.recommend.recommend`."""
        return recommend(self, history, k=k, **options)

    def save(self, folder: str | Path) -> None:
        """Write catalogue, scorer and a manifest into the folder; the manifest comes last, so it marks a whole one."""
        target = Path(folder)
        self._catalog.save(target / "catalog")
        self.scorer.save(target / "scorer")
        write_manifest(target, {"kind": "scores", "scorer": self.kind}, self._catalog, trained=self.trained)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the folder is incomplete, damaged, or its parts do not belong together.
        """
        source = given_path("folder", folder)
        manifest = read_manifest(source)
        scorer = _scorer_class(manifest, source).load(source / "scorer")
        return cls(load_catalog(source, manifest), scorer, trained=manifest.get("trained"))


def _scorer_class(manifest: dict[str, Any], folder: Path) -> type[Baseline]:
    kind = str(manifest.get("scorer"))
    if kind not in BASELINES:
        raise ArtifactError(f"{folder / MANIFEST}: the scorer '{kind}' is unknown to this version")
    return BASELINES[kind]

"""The ensemble recommender: a product of experts inside beam search, or reciprocal-rank fusion.

Product: an item's score is log p of the lead plus weight · log q of every other part, each a distribution over items
(`models.score_distributions`). If the lead is generative, the experts guide its beam search: a prefix is scored with
the best expert score below it, so no prefix is pruned before an expert's preferred item is reached, and lists are
generated along the trie as before. A prefix takes the maximum rather than the sum of the experts' mass because of a
measurement: with 20 beams on office14 the ten best items were exactly those of the whole catalogue for 99 % of users,
against 84 %. Without a generative part every item is scored.

Ranks (Cormack, Clarke and Büttcher, SIGIR 2009): the sum of weight / (constant + rank) over the parts' lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import given_path
from lexirec.core.errors import SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import top_k
from lexirec.data.ranking import Ranking, Recommender, check_request, forbid, list_length, newer_items, of_rows
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Split
from lexirec.data.training_part import TrainingAndValidation
from lexirec.models.baselines.base import score_batches
from lexirec.models.ensemble.candidates import Part, candidates, places_in, reciprocal, union
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.models.ensemble.weights import EnsembleWeights, choose_weights, chosen_cases, support_of
from lexirec.models.recommend import Options, Recommendations, recommend
from lexirec.models.saving import load_catalog, read_manifest, read_settings, undamaged, write_manifest
from lexirec.nn.search import SearchResult

_SETTINGS, _PARTS = "fusion.json", "parts"


class EnsembleRecommender:
    """An ensemble of recommenders of one catalogue; see the module's docstring.

    Attributes:
        settings: parts and combination.
        weights: of every part but the lead; 1 until `fit` chooses them.
    """

    def __init__(
        self, parts: Mapping[str, Recommender], settings: EnsembleSettings, weights: EnsembleWeights | None = None
    ) -> None:
        """Combine fitted recommenders.

        Args:
            parts: recommenders by the names in `settings.of`.
            settings: parts and combination.
            weights: chosen earlier; by default 1 for every part.

        Raises:
            SettingsError: a part is missing, cannot be combined, or has another catalogue.
        """
        self.settings = settings
        by_name = {name: Part(name, _part(parts, name)) for name in settings.of}
        leads = [name for name, part in by_name.items() if part.searcher is not None] or list(by_name)
        self.names = (leads[0], *(name for name in by_name if name != leads[0]))
        self.parts = tuple(by_name[name] for name in self.names)
        for name, part in by_name.items():
            if part.recommender.catalog.digest != self.catalog.digest:
                raise SettingsError(
                    f"ensemble.of: '{name}' and '{leads[0]}' have different catalogs; name parts of one catalog"
                )
        self.weights = weights or EnsembleWeights.even(len(self.parts) - 1, settings.options[0], len(self.catalog))

    def fit(self, split: Split | TrainingAndValidation) -> Self:
        """Choose the weights on validation cases; coverage is computed from the training part.

        Raises:
            DataError: there is no validation case.
        """
        cases, facts = chosen_cases(self.settings, split)
        support = support_of(split.train, len(self.catalog))
        scored = candidates(self.parts, cases, self.settings, support)
        self.weights = choose_weights(scored, self.names[1:], self.settings, support, facts)
        return self

    # ---------------------------------------------------------------------------------------------------- using

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked."""
        return self.parts[0].recommender.catalog

    @property
    def trained(self) -> int | None:
        """Number of leading items that the parts were trained with; None for all."""
        return self.parts[0].trained

    @property
    def newer_items(self) -> NDArray[np.bool_] | None:
        """The items that it was not trained with, bool (n_items,); None where there are none."""
        return newer_items(len(self.catalog), self.trained)

    @property
    def semantic_ids(self) -> NDArray[np.int32] | None:
        """The semantic IDs of the lead, which items may share, else its identifiers; None where it has neither."""
        lead = self.parts[0].recommender
        shared: NDArray[np.int32] | None = getattr(lead, "semantic_ids", None)
        return shared if shared is not None or not hasattr(lead, "identifiers") else lead.identifiers.tokens

    @property
    def protocol(self) -> dict[str, Any]:
        """How lists are made, for the protocol card: combination, weights and parts."""
        parts = {name: part.recommender.protocol for name, part in zip(self.names, self.parts, strict=True)}
        how = "ranks" if self.settings.kind == "reciprocal-rank" else parts[self.names[0]]["search"]
        return {
            "recommender": "fused",
            "search": how,
            "fusion": self.settings.kind,
            "weights": self.weights_by_part(),
            "floor" if self.settings.kind == "product" else "constant": self.weights.option,
            "settings": self.settings.model_dump(mode="json"),
            "parts": parts,
        }

    def weights_by_part(self) -> dict[str, Any]:
        """Return each part's weight, or its weights per bin of cases, from the least to the best covered."""
        by_bin = {name: self.weights.values[:, expert].tolist() for expert, name in enumerate(self.names[1:])}
        return {self.names[0]: 1.0, **{name: each[0] if len(each) == 1 else each for name, each in by_bin.items()}}

    def rank(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> Ranking:
        """Rank the k best items for every history; see `data.ranking.Recommender.rank`.

        Boosts are added to the product. Under reciprocal ranks they act in every part's own list, because sums of
        1 / (constant + rank) differ by few nats from the first place to the last: there, a boost would mean something
        else than in any other recommender.
        """
        result = self.search(histories, k=k, exclude_seen=exclude_seen, allowed=allowed, boosts=boosts)
        return Ranking(result.items, result.scores, result.bound)

    @property
    def relative_scores(self) -> bool:
        """Whether an item's score depends on which other items are allowed, as ranks do."""
        return self.settings.kind == "reciprocal-rank"

    def list_length(self, k: int) -> int:
        """Return the length of a list that costs no more than k items; see `data.ranking.list_length`."""
        if self.settings.kind == "reciprocal-rank":
            return max(k, self.settings.depth)
        lead = self.parts[0]
        return list_length(lead.recommender, k) if lead.searcher is None else lead.searcher.list_length(k)

    def search(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        boosts: NDArray[np.float32] | None = None,
    ) -> SearchResult:
        """Rank, and report which lists are provably those of the whole catalogue (never for reciprocal ranks)."""
        check_request(histories, len(self.catalog), k, allowed, exclude_seen, boosts)
        if self.settings.kind == "reciprocal-rank":
            return self._by_ranks(histories, k, exclude_seen, allowed, boosts)
        searcher = self.parts[0].searcher
        if searcher is None:
            return self._by_scores(histories, k, exclude_seen, allowed, boosts)

        def experts(batch: Sequences, rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return self._experts(batch, exclude_seen=exclude_seen, allowed=of_rows(allowed, rows))

        return searcher.rank(histories, k, exclude_seen=exclude_seen, allowed=allowed, guide=experts, boosts=boosts)

    def _experts(self, histories: Sequences, **options: Any) -> NDArray[np.float32]:
        """Return the weighted log-probabilities of all parts but the lead: (rows, I); options are `Part.read`'s."""
        weights = self.weights.of(histories)
        total = np.zeros((len(histories), len(self.catalog)), dtype=np.float32)
        for expert, part in enumerate(self.parts[1:]):
            if weights[:, expert].any():
                logs = part.log_probabilities(histories, self.weights.option, self.settings.reach, **options)
                total += weights[:, expert, None] * logs
        return total

    def _by_scores(
        self,
        histories: Sequences,
        k: int,
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
        boosts: NDArray[np.float32] | None,
    ) -> SearchResult:
        result = _empty_result(len(histories), k, exact=True)
        for rows in score_batches(len(histories), len(self.catalog)):
            part = histories.take(rows)
            scores = self._experts(part) + self.parts[0].log_probabilities(part, self.weights.option)
            scores = scores if boosts is None else scores + (boosts if boosts.ndim == 1 else boosts[rows])
            forbid(scores, part, exclude_seen, of_rows(allowed, rows))
            result.items[rows], result.scores[rows] = top_k(scores, k, of=f"the ensemble of {', '.join(self.names)}")
        return result

    def _by_ranks(
        self,
        histories: Sequences,
        k: int,
        exclude_seen: bool,
        allowed: NDArray[np.bool_] | None,
        boosts: NDArray[np.float32] | None,
    ) -> SearchResult:
        depth, n_items = max(k, self.settings.depth), len(self.catalog)
        result = _empty_result(len(histories), k, exact=False)
        boosted: dict[str, Any] = {} if boosts is None else {"boosts": boosts}
        lists = [
            part.recommender.rank(histories, k=depth, exclude_seen=exclude_seen, allowed=allowed, **boosted).items
            for part in self.parts
        ]
        weights = np.concatenate([np.ones((len(histories), 1), np.float32), self.weights.of(histories)], axis=1)
        for rows in score_batches(len(histories), n_items):
            items = union([each[rows] for each in lists])
            places = (places_in(items, each[rows], n_items) for each in lists)
            terms = (reciprocal(each, self.weights.option) * weights[rows, p, None] for p, each in enumerate(places))
            best, scores = top_k(np.where(items >= 0, sum(terms), -np.inf).astype(np.float32), k)
            chosen = np.take_along_axis(items, np.maximum(best, 0), axis=1)
            result.items[rows] = np.where(best >= 0, chosen, -1)
            result.scores[rows] = scores
        return result

    def recommend(self, history: Sequence[str], *, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Recommend items for one history of item ids, oldest first; see `models.recommend.recommend`."""
        return recommend(self, history, k=k, **options)

    # --------------------------------------------------------------------------------------------------- saving

    def save(self, folder: str | Path) -> None:
        """Write one complete folder: the catalogue, every part as a complete folder, settings and weights."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self.catalog.save(target / "catalog")
        for name, part in zip(self.names, self.parts, strict=True):
            part.recommender.save(target / _PARTS / name)
        (target / _SETTINGS).write_text(self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self.weights.save(target)
        write_manifest(target, {"kind": "fused", "parts": list(self.names)}, self.catalog, trained=self.trained)

    @classmethod
    def load(cls, folder: str | Path, load_part: Callable[[Path], Recommender]) -> Self:
        """Read what `save` wrote; `load_part` loads a recommender of any kind (`models.loading.load_recommender`).

        Raises:
            ArtifactError: the folder is incomplete, damaged, or its parts do not belong together.
        """
        source = given_path("folder", folder)
        manifest = read_manifest(source)
        load_catalog(source, manifest)
        with undamaged(source):
            settings = read_settings(source / _SETTINGS, EnsembleSettings)
        parts = {name: load_part(source / _PARTS / name) for name in settings.of}
        return cls(parts, settings, EnsembleWeights.load(source))


def _part(parts: Mapping[str, Recommender], name: str) -> Recommender:
    if name not in parts:
        raise SettingsError(f"ensemble.of names '{name}', which is not among the parts: {', '.join(parts)}")
    return parts[name]


def _empty_result(rows: int, k: int, *, exact: bool) -> SearchResult:
    empty = np.full((rows, k), -1, dtype=np.int32), np.full((rows, k), -np.inf, dtype=np.float32)
    bound = np.full(rows, -np.inf if exact else np.inf, dtype=np.float32)
    return SearchResult(*empty, np.full(rows, exact, dtype=np.bool_), bound)

"""Extend a recommender to a changed catalogue, without training: added items are named, encoded and ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.ranking import Recommender
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.ensemble.weights import EnsembleWeights
from lexirec.models.extension.artifacts import Artifacts
from lexirec.models.extension.changes import CatalogChange, ItemChanges
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.generative import NewItems, extend_gram, extend_tsrec
from lexirec.models.extension.memory import padded
from lexirec.models.extension.naming import Named, placing_of
from lexirec.models.extension.occupied import Occupied
from lexirec.models.extension.scorers import extend_scorer
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.tsrec.recommender import TSRecRecommender

_FULL = "no identifier is left for it among those of similar items: every token that could tell it apart is taken"


@dataclass(frozen=True, eq=False)
class Extended:
    """An extended recommender.

    Attributes:
        recommender: Of the changed catalogue.
        change: The catalogue before and after, without the refused items.
        refused: Why an item was not added, by its id.
    """

    recommender: Recommender
    change: CatalogChange
    refused: Mapping[str, str]


def extend(recommender: Recommender, changes: ItemChanges, artifacts: Artifacts) -> Extended:
    """Return a recommender of the changed catalogue; the given one stays as it is.

    Identifiers of remaining items stay, and adding items changes no score of a trained item. Added items are named in
    the order of their rows, which decides only who of two items that want the same identifier gets it.

    Args:
        recommender: GRAM, TS-Rec, a memory or another baseline that can rank without an item's events, or an ensemble
            of these; trained, or extended before.
        changes: What is to change.
        artifacts: Of the trained recommender (`artifacts_of`).

    Raises:
        DataError: the changes do not fit the catalogue, or the recommender cannot rank items it never saw.
    """
    change = CatalogChange.of(recommender.catalog, changes, trained=getattr(recommender, "trained", None))
    refused: dict[str, str] = {}
    while True:
        plan = _planned(recommender, change, artifacts, changes.vectors)
        left_out = _refused(plan, change)
        if not left_out:
            return Extended(_made(recommender, change, plan), change, refused)
        refused |= dict.fromkeys(left_out, _FULL)
        change = change.without(left_out)


@dataclass(frozen=True, eq=False)
class _Plan:
    """How one recommender will be extended: its encoder, the identifiers of added items, and its parts' plans."""

    encoder: ItemEncoder
    identifiers: list[list[int] | None]
    parts: Mapping[str, _Plan]
    evidence: Mapping[str, Any]


def _planned(recommender: Recommender, change: CatalogChange, artifacts: Artifacts, files: Mapping[str, str]) -> _Plan:
    encoder = ItemEncoder(artifacts, files)
    settings = artifacts.settings.get("recommender", {})
    if isinstance(recommender, EnsembleRecommender):
        partner = settings.get("partner") or {}
        parts = {}
        for name, part in zip(recommender.names, recommender.parts, strict=True):
            of_part = artifacts.parts.get(name, Artifacts(artifacts.catalog, artifacts.folders, artifacts.settings))
            if partner.get("part") == name:  # the searched memory took the place of the baseline's
                how = {**of_part.settings, "recommender": {"evidence": partner.get("evidence") or "text"}}
                of_part = replace(of_part, settings=how, folders={**artifacts.folders, **of_part.folders})
            parts[name] = _planned(part.recommender, change, of_part, files)
        return _Plan(encoder, [], parts, settings)
    identifiers: list[list[int] | None] = []
    if isinstance(recommender, (GramRecommender, TSRecRecommender)) and len(change.added):
        identifiers = _named(recommender, change, encoder)
    return _Plan(encoder, identifiers, {}, settings)


def _named(
    recommender: GramRecommender | TSRecRecommender, change: CatalogChange, encoder: ItemEncoder
) -> list[list[int] | None]:
    """Return the identifiers of added items; None for those that are refused."""
    artifacts, tokenizer = encoder.artifacts, recommender.backbone.tokenizer
    if artifacts.identifiers is not None:
        trained: NDArray[np.int32] = artifacts.identifiers.in_vocabulary(tokenizer).tokens
    else:  # a recommender that was saved by hand: the items that it was trained with are those it ranks
        trained = recommender.identifiers.tokens[: recommender.trained]
    rows = change.after.take(change.added)
    vectors = encoder.vectors(rows)
    placing = placing_of(rows, Named(tokenizer, trained, encoder.trained_vectors()), artifacts)
    return placing.place(vectors, Occupied([trained, recommender.identifiers.tokens]))


def _refused(plan: _Plan, change: CatalogChange) -> list[str]:
    """Return the ids of added items that some part has no identifier for."""
    ids = change.after.item_ids
    own = [ids[number] for number, each in zip(change.added, plan.identifiers, strict=False) if each is None]
    return list(dict.fromkeys(own + [each for part in plan.parts.values() for each in _refused(part, change)]))


def _made(recommender: Recommender, change: CatalogChange, plan: _Plan) -> Recommender:
    if isinstance(recommender, EnsembleRecommender):
        parts = {
            name: _made(part.recommender, change, plan.parts[name])
            for name, part in zip(recommender.names, recommender.parts, strict=True)
        }
        weights = recommender.weights
        grown = replace(weights, support=padded(weights.support, change.kept, len(change.after)))
        assert isinstance(grown, EnsembleWeights)
        return EnsembleRecommender(parts, recommender.settings, grown)
    if isinstance(recommender, ScoreRecommender):
        return extend_scorer(recommender, change, plan.encoder, plan.evidence)
    identifiers = [each for each in plan.identifiers if each is not None]
    if isinstance(recommender, GramRecommender):
        return extend_gram(recommender, change, NewItems.of(change, identifiers, plan.encoder))
    if isinstance(recommender, TSRecRecommender):
        return extend_tsrec(recommender, change, NewItems.of(change, identifiers, plan.encoder))
    raise DataError(
        f"a recommender of type {type(recommender).__name__} cannot take new items; allowed are GRAM, TS-Rec, "
        "baselines and ensembles"
    )

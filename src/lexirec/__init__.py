"""Generative recommendation with language models: from two tables to trained, measured, explained recommendations.

The names below are the library's own; each is imported when it is first used, so `import lexirec` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexirec.core.errors import LexirecError
    from lexirec.data.catalog import Catalog
    from lexirec.data.interactions import Interactions
    from lexirec.data.neighbors import Neighbors, co_occurrence
    from lexirec.data.splits import global_temporal, leave_last_out, published
    from lexirec.data.toy import toy_shop
    from lexirec.evaluation.evaluator import evaluate
    from lexirec.models.baselines.memory import Memory, MemorySettings
    from lexirec.models.baselines.recommender import ScoreRecommender
    from lexirec.models.ensemble.recommender import FusedRecommender
    from lexirec.models.ensemble.settings import FusionSettings
    from lexirec.models.gram.recommender import Knowledge, LateFusionRecommender, ModelSettings
    from lexirec.models.gram.training import TrainingSettings
    from lexirec.models.loading import load_recommender
    from lexirec.models.recommend import recommend
    from lexirec.models.tsrec.recommender import CausalRecommender, SpelledItems
    from lexirec.models.tsrec.settings import CausalModelSettings, ReinforcementSettings
    from lexirec.semantic_ids.codes import Codes
    from lexirec.semantic_ids.embeddings.item_embeddings import embed
    from lexirec.semantic_ids.identifiers.identifiers import Identifiers
    from lexirec.semantic_ids.lexicon.lexicon import Lexicon
    from lexirec.semantic_ids.lexicon.llm_settings import TeacherLexicon
    from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans
    from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
    from lexirec.semantic_ids.quantizers.rqvae import RqVae

_HOMES = {
    "Catalog": "data.catalog",
    "CausalModelSettings": "models.tsrec.settings",
    "CausalRecommender": "models.tsrec.recommender",
    "Codes": "semantic_ids.codes",
    "FusedRecommender": "models.ensemble.recommender",
    "FusionSettings": "models.ensemble.settings",
    "HierarchicalKMeans": "semantic_ids.quantizers.hierarchical_kmeans",
    "Identifiers": "semantic_ids.identifiers.identifiers",
    "Interactions": "data.interactions",
    "Knowledge": "models.gram.recommender",
    "LateFusionRecommender": "models.gram.recommender",
    "Lexicon": "semantic_ids.lexicon.lexicon",
    "LexirecError": "core.errors",
    "Memory": "models.baselines.memory",
    "MemorySettings": "models.baselines.memory",
    "ModelSettings": "models.gram.recommender",
    "Neighbors": "data.neighbors",
    "ReinforcementSettings": "models.tsrec.settings",
    "ResidualKMeans": "semantic_ids.quantizers.residual_kmeans",
    "RqVae": "semantic_ids.quantizers.rqvae",
    "ScoreRecommender": "models.baselines.recommender",
    "SpelledItems": "models.tsrec.recommender",
    "TeacherLexicon": "semantic_ids.lexicon.llm_settings",
    "TrainingSettings": "models.gram.training",
    "co_occurrence": "data.neighbors",
    "embed": "semantic_ids.embeddings.item_embeddings",
    "evaluate": "evaluation.evaluator",
    "global_temporal": "data.splits",
    "leave_last_out": "data.splits",
    "load_recommender": "models.loading",
    "published": "data.splits",
    "recommend": "models.recommend",
    "toy_shop": "data.toy",
}
"""Public name -> the module it lives in."""

__all__ = [
    "Catalog",
    "CausalModelSettings",
    "CausalRecommender",
    "Codes",
    "FusedRecommender",
    "FusionSettings",
    "HierarchicalKMeans",
    "Identifiers",
    "Interactions",
    "Knowledge",
    "LateFusionRecommender",
    "Lexicon",
    "LexirecError",
    "Memory",
    "MemorySettings",
    "ModelSettings",
    "Neighbors",
    "ReinforcementSettings",
    "ResidualKMeans",
    "RqVae",
    "ScoreRecommender",
    "SpelledItems",
    "TeacherLexicon",
    "TrainingSettings",
    "co_occurrence",
    "embed",
    "evaluate",
    "global_temporal",
    "leave_last_out",
    "load_recommender",
    "published",
    "recommend",
    "toy_shop",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lexirec' has no attribute {name!r}")
    value = getattr(import_module(f"lexirec.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

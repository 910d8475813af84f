"""Generative recommendation with language models: from two tables to trained, measured, explained recommendations.

The names below are the library's own; each is imported when it is first used, so `import lexirec` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexirec.causal_recommender import CausalRecommender, SpelledItems
    from lexirec.causal_settings import CausalModelSettings, ReinforcementSettings
    from lexirec.codes.codes import Codes
    from lexirec.codes.identifiers import Identifiers
    from lexirec.codes.kmeans import HierarchicalKMeans
    from lexirec.codes.lexicon import Lexicon
    from lexirec.codes.residual import ResidualKMeans
    from lexirec.codes.rqvae import RqVae
    from lexirec.codes.teacher_settings import TeacherLexicon
    from lexirec.codes.vectors import embed
    from lexirec.data.catalog import Catalog
    from lexirec.data.interactions import Interactions
    from lexirec.data.neighbors import Neighbors, co_occurrence
    from lexirec.data.splits import global_temporal, leave_last_out, published
    from lexirec.data.toy import toy_shop
    from lexirec.errors import LexirecError
    from lexirec.evaluation import evaluate
    from lexirec.fusion.recommender import FusedRecommender
    from lexirec.fusion.weights import FusionSettings
    from lexirec.late_fusion_recommender import Knowledge, LateFusionRecommender, ModelSettings
    from lexirec.models.memory import Memory, MemorySettings
    from lexirec.recommenders import ScoreRecommender, load_recommender
    from lexirec.recommending import recommend
    from lexirec.training.trainer import TrainingSettings

_HOMES = {
    "Catalog": "data.catalog",
    "CausalModelSettings": "causal_settings",
    "CausalRecommender": "causal_recommender",
    "Codes": "codes.codes",
    "FusedRecommender": "fusion.recommender",
    "FusionSettings": "fusion.weights",
    "HierarchicalKMeans": "codes.kmeans",
    "Identifiers": "codes.identifiers",
    "Interactions": "data.interactions",
    "Knowledge": "late_fusion_recommender",
    "LateFusionRecommender": "late_fusion_recommender",
    "Lexicon": "codes.lexicon",
    "LexirecError": "errors",
    "Memory": "models.memory",
    "MemorySettings": "models.memory",
    "ModelSettings": "late_fusion_recommender",
    "Neighbors": "data.neighbors",
    "ReinforcementSettings": "causal_settings",
    "ResidualKMeans": "codes.residual",
    "RqVae": "codes.rqvae",
    "ScoreRecommender": "recommenders",
    "SpelledItems": "causal_recommender",
    "TeacherLexicon": "codes.teacher_settings",
    "TrainingSettings": "training.trainer",
    "co_occurrence": "data.neighbors",
    "embed": "codes.vectors",
    "evaluate": "evaluation",
    "global_temporal": "data.splits",
    "leave_last_out": "data.splits",
    "load_recommender": "recommenders",
    "published": "data.splits",
    "recommend": "recommending",
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

"""Generative recommenders: a language model generates the identifier of the next item, constrained by a trie.

The names below are the public interface. Each is imported when it is first used, so `import lexirec` itself is fast
and needs none of the heavy libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexirec.core.errors import LexirecError
    from lexirec.data.catalog import Catalog
    from lexirec.data.interactions import Interactions
    from lexirec.data.neighbors import Neighbors, co_occurrence
    from lexirec.data.splits import global_temporal, leave_last_out, predefined_split
    from lexirec.data.toy_shop.shop import toy_shop
    from lexirec.evaluation.evaluator import evaluate
    from lexirec.models.baselines.memory import Memory, MemorySettings
    from lexirec.models.baselines.recommender import ScoreRecommender
    from lexirec.models.ensemble.recommender import EnsembleRecommender
    from lexirec.models.ensemble.settings import EnsembleSettings
    from lexirec.models.gram.recommender import GramInputs, GramRecommender
    from lexirec.models.gram.settings import GramSettings, GramTrainingSettings
    from lexirec.models.loading import load_recommender
    from lexirec.models.recommend import recommend
    from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
    from lexirec.models.tsrec.settings import ReinforcementSettings, TSRecSettings
    from lexirec.semantic_ids.codes import Codes
    from lexirec.semantic_ids.embeddings.item_embeddings import embed_items
    from lexirec.semantic_ids.identifiers.identifiers import Identifiers
    from lexirec.semantic_ids.lexicon.lexicon import Lexicon, tfidf_lexicon
    from lexirec.semantic_ids.lexicon.llm_labels import llm_lexicon
    from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon
    from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans
    from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
    from lexirec.semantic_ids.quantizers.rqvae import RqVae
    from lexirec.workflows.bulk.recommend_all import recommend_all

_HOMES = {
    "Catalog": "data.catalog",
    "Codes": "semantic_ids.codes",
    "ContrastiveLexicon": "semantic_ids.lexicon.llm_settings",
    "EnsembleRecommender": "models.ensemble.recommender",
    "EnsembleSettings": "models.ensemble.settings",
    "GramInputs": "models.gram.recommender",
    "GramRecommender": "models.gram.recommender",
    "GramSettings": "models.gram.settings",
    "GramTrainingSettings": "models.gram.settings",
    "HierarchicalKMeans": "semantic_ids.quantizers.hierarchical_kmeans",
    "Identifiers": "semantic_ids.identifiers.identifiers",
    "Interactions": "data.interactions",
    "LLMLexicon": "semantic_ids.lexicon.llm_settings",
    "Lexicon": "semantic_ids.lexicon.lexicon",
    "LexirecError": "core.errors",
    "Memory": "models.baselines.memory",
    "MemorySettings": "models.baselines.memory",
    "Neighbors": "data.neighbors",
    "ReinforcementSettings": "models.tsrec.settings",
    "ResidualKMeans": "semantic_ids.quantizers.residual_kmeans",
    "RqVae": "semantic_ids.quantizers.rqvae",
    "ScoreRecommender": "models.baselines.recommender",
    "TSRecInputs": "models.tsrec.recommender",
    "TSRecRecommender": "models.tsrec.recommender",
    "TSRecSettings": "models.tsrec.settings",
    "co_occurrence": "data.neighbors",
    "embed_items": "semantic_ids.embeddings.item_embeddings",
    "evaluate": "evaluation.evaluator",
    "global_temporal": "data.splits",
    "leave_last_out": "data.splits",
    "llm_lexicon": "semantic_ids.lexicon.llm_labels",
    "load_recommender": "models.loading",
    "predefined_split": "data.splits",
    "recommend": "models.recommend",
    "recommend_all": "workflows.bulk.recommend_all",
    "tfidf_lexicon": "semantic_ids.lexicon.lexicon",
    "toy_shop": "data.toy_shop.shop",
}
"""Public name -> the module that defines it, below `lexirec`."""

__all__ = [
    "Catalog",
    "Codes",
    "ContrastiveLexicon",
    "EnsembleRecommender",
    "EnsembleSettings",
    "GramInputs",
    "GramRecommender",
    "GramSettings",
    "GramTrainingSettings",
    "HierarchicalKMeans",
    "Identifiers",
    "Interactions",
    "LLMLexicon",
    "Lexicon",
    "LexirecError",
    "Memory",
    "MemorySettings",
    "Neighbors",
    "ReinforcementSettings",
    "ResidualKMeans",
    "RqVae",
    "ScoreRecommender",
    "TSRecInputs",
    "TSRecRecommender",
    "TSRecSettings",
    "co_occurrence",
    "embed_items",
    "evaluate",
    "global_temporal",
    "leave_last_out",
    "llm_lexicon",
    "load_recommender",
    "predefined_split",
    "recommend",
    "recommend_all",
    "tfidf_lexicon",
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

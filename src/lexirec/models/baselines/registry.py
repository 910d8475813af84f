"""The table of baselines: kind -> the module and class of the scorer.

A new baseline is a module of this package with a `Baseline`, and one line here (see CONTRIBUTING.md).
"""

from __future__ import annotations

from lexirec.core.registry import Registry
from lexirec.models.baselines.base import Baseline, BaselineSettings

BASELINES: Registry[type[Baseline]] = Registry(
    "lexirec.models.baselines",
    {
        "popularity": "popularity:Popularity",
        "recency": "popularity:Recency",
        "transitions": "transitions:Transitions",
        "memory": "memory:Memory",
        "graph-heuristic": "graph_heuristic:GraphHeuristic",
        "item-knn": "item_similarity:ItemKnn",
        "ease": "item_similarity:Ease",
        "als": "als:Als",
        "sasrec": "sasrec:Sasrec",
        "gru4rec": "gru4rec:Gru4Rec",
        "hstu": "hstu:Hstu",
    },
)


def baseline_settings() -> list[type[BaselineSettings]]:
    """Return what an experiment file can say of each baseline; imports them all."""
    return [scorer.options or scorer.settings_class for scorer in BASELINES.values()]

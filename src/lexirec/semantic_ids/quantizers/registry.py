"""Registry of quantisers: kind -> module and class.

A new quantiser is a module of this package with a `QuantizerSettings`, and one line here (see CONTRIBUTING.md).
"""

from __future__ import annotations

from lexirec.core.registry import Registry
from lexirec.semantic_ids.quantizers.base import QuantizerSettings

QUANTIZERS: Registry[type[QuantizerSettings]] = Registry(
    "lexirec.semantic_ids.quantizers",
    {
        "hierarchical-kmeans": "hierarchical_kmeans:HierarchicalKMeans",
        "residual-kmeans": "residual_kmeans:ResidualKMeans",
        "rq-vae": "rqvae:RqVae",
        "residual-kmeans-plus": "rqkmeans_plus:ResidualKMeansPlus",
        "categories": "category_codes:CategoryCodes",
        "published": "published_codes:PublishedCodes",
    },
)

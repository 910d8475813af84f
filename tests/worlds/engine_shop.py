"""A small TS-Rec recommender with a vocabulary head, in sentences, whose identifiers an engine can write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.settings import TSRecNetworkSettings, TSRecPromptSettings, TSRecSettings
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.search import SearchSettings
from lexirec.nn.t5 import Backbone
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.testing import tiny_catalog

ITEMS = 30
SIZES = {"d_model": 16, "layers": 1, "heads": 2, "feed_forward": 32, "vocabulary_size": 200}


def engine_recommender(
    *,
    backbone: Backbone | None = None,
    network: dict[str, Any] | None = None,
    frame: Any = "alpaca",
    uneven: bool = False,
    max_length: int = 512,
) -> TSRecRecommender:
    """Return an untrained recommender with random weights; with `uneven` one identifier is shorter."""
    catalog = tiny_catalog(ITEMS)
    backbone = backbone or load_causal(CausalBackboneSettings(name="scratch:tiny", **SIZES), texts=catalog.texts())
    items = np.arange(ITEMS)
    tokens = np.stack([items // 6, 5 + items % 6, 11 + items % 2], axis=1).astype(np.int32)
    if uneven:
        tokens[ITEMS - 1, 2] = -1
        tokens[ITEMS - 1, :2] = [13, 5]
    identifiers = Identifiers(tokens, tuple(f"<s_{number}>" for number in range(14)))
    settings = TSRecSettings(
        network=TSRecNetworkSettings(**(network or {"head": "vocabulary", "likelihood": "vocabulary"})),
        prompts=TSRecPromptSettings(frame=frame, max_history=4, max_length=max_length),
        search=SearchSettings(num_beams=10),
    )
    recommender = TSRecRecommender.build(catalog, backbone, TSRecInputs(identifiers), settings)
    with torch.no_grad():  # scores apart from each other, and zero rows that would show
        for weight in recommender.model.parameters():
            weight.mul_(3)
    return recommender


def saved(folder: Path, **options: Any) -> str:
    """Save such a recommender, and return the folder as a name for commands."""
    engine_recommender(**options).save(folder)
    return str(folder)

"""Compare an exported engine folder, as an engine computes it, with the recommender that it was exported from.

Both sides make their own prompts of the same random histories (the engine from its template and table, lexirec by its
prompt builder) and say the log-probability of every token of an item's identifier, over the whole vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.models.exported import check_export
from lexirec.models.loading import load_named
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.workflows.distribution.engine import ITEMS, SIZES, servable
from lexirec.workflows.distribution.engine_backends import BACKENDS
from lexirec.workflows.distribution.engine_prompts import EnginePrompts


@dataclass(frozen=True)
class ParitySettings:
    """How many histories are asked, and how the engine computes.

    Attributes:
        backend: `transformers` or `vllm`.
        histories: number of random histories.
        seed: of the histories and of the items after them.
        dtype: of the engine's weights: `float32`, `bfloat16` or `float16`.
    """

    backend: str = "transformers"
    histories: int = 16
    seed: int = 0
    dtype: str = "float32"


@dataclass(frozen=True)
class Parity:
    """Differences between engine and recommender.

    Attributes:
        histories: number of histories.
        tokens: number of compared log-probabilities.
        greatest: greatest absolute difference of a token's log-probability, in nats.
        mean: mean absolute difference.
        filler_mass: greatest probability that all zero rows together have at a compared position.
    """

    histories: int
    tokens: int
    greatest: float
    mean: float
    filler_mass: float


def compare_engine(
    store: Store, name: str, engine: Path, settings: ParitySettings | None = None, *, wanted: str | None = None
) -> Parity:
    """Ask the recommender and the engine for log-probabilities along identifiers, and return their differences.

    Args:
        store: of finished experiments.
        name: of an experiment, or the folder of a saved or exported recommender.
        engine: the exported engine folder.
        settings: histories and backend.
        wanted: name of one of the experiment's recommenders.

    Raises:
        ArtifactError: the folder is damaged, or its items are not the recommender's.
        SettingsError: there is no such backend, or it is not installed.
    """
    settings = settings or ParitySettings()
    if settings.backend not in BACKENDS:
        raise SettingsError(f"--backend {settings.backend}: there are {', '.join(BACKENDS)}")
    if settings.histories < 1:
        raise SettingsError(f"--histories {settings.histories}: give at least 1")
    check_export(engine, "engine")
    recommender = servable(load_named(store, name, wanted), name)
    if json.loads((engine / ITEMS).read_bytes()) != recommender.catalog.item_ids:
        raise ArtifactError(f"{engine}: its items are not those of {name}; export it again")
    sizes, prompts = json.loads((engine / SIZES).read_bytes()), EnginePrompts.read(engine)
    histories, targets = _histories(recommender, settings)
    asked = [prompts.prompt(history) for history in histories]
    answers = [list(prompts.sids[item]) for item in targets]
    theirs = BACKENDS[settings.backend](engine, settings.dtype)(asked, answers)
    ours, masses = _reference(recommender, histories, targets, sizes)
    apart = np.abs(np.concatenate(theirs) - np.concatenate(ours))
    if not np.isfinite(apart).all():
        raise ArtifactError(f"{engine}: {settings.backend} gives log-probabilities that are not finite")
    return Parity(len(histories), len(apart), float(apart.max()), float(apart.mean()), max(masses))


def _histories(recommender: TSRecRecommender, settings: ParitySettings) -> tuple[list[list[int]], list[int]]:
    """Return random histories of item numbers, and a random item after each; they are nobody's."""
    random, items = np.random.default_rng(settings.seed), len(recommender.catalog)
    lengths = random.integers(1, recommender.builder.settings.max_history + 3, settings.histories)
    return [random.integers(0, items, length).tolist() for length in lengths], random.integers(
        0, items, settings.histories
    ).tolist()


@torch.no_grad()
def _reference(
    recommender: TSRecRecommender, histories: Sequence[Sequence[int]], targets: Sequence[int], sizes: dict[str, Any]
) -> tuple[list[np.ndarray[Any, Any]], list[float]]:
    """Return the recommender's log-probabilities of each target's tokens, over the rows that the export kept or added,
    and the mass of the added ones."""
    prompts = recommender.builder.next_item(Sequences.from_lists([list(history) for history in histories]))
    model, found, masses = recommender.backbone.model, [], []
    for row, item in enumerate(targets):
        first, last = int(prompts.offsets[row]), int(prompts.offsets[row + 1])
        answer = torch.from_numpy(recommender.identifiers.tokens[item])
        answer = answer[answer >= 0].long()
        ids = torch.cat([prompts.values[first:last].long(), answer]).to(recommender.model.device)
        logits = model(ids.unsqueeze(0), use_cache=False).logits[0, -len(answer) - 1 : -1].float().cpu()
        logp, mass = _log_probabilities(logits, answer, sizes)
        found.append(logp.numpy())
        masses.append(mass)
    return found, masses


def _log_probabilities(logits_SV: Tensor, answer_S: Tensor, sizes: dict[str, Any]) -> tuple[Tensor, float]:
    kept = logits_SV[:, : sizes["rows"]]
    padded = torch.cat([kept, kept.new_zeros(len(kept), sizes["padded_rows"])], dim=1).log_softmax(-1)
    added = padded[:, kept.shape[1] :]
    return padded.gather(1, answer_S.unsqueeze(1)).squeeze(1), float(
        added.exp().sum(-1).max()
    ) if added.numel() else 0.0

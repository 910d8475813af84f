"""Measure the cost of a training step and of a recommendation: seconds, peak memory, operations and bytes.

Measured in a process of its own, so that memory of other work is not included. Operations are those that PyTorch's
counter supports (matrix products and attention, two per multiply-add); work outside PyTorch is not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lexirec.core.config import Settings
from lexirec.core.environment import PeakMemory
from lexirec.core.errors import ArtifactError
from lexirec.core.progress import quiet
from lexirec.data.splits import Split
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.training import batches, packed_windows, windows_per_prefix
from lexirec.models.loading import load_recommender
from lexirec.models.tsrec.mixture import TaskTexts, make_examples
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.sft import epochs_of
from lexirec.nn.pretrained import count_parameters
from lexirec.pipeline.stages.data import Folders, load_split, write_summary
from lexirec.workflows.benchmarks.measure import apart

FILE = "cost.json"
T = TypeVar("T")
Batches = list[dict[str, Tensor]]


class CostSettings(Settings):
    """Settings of the cost measurement."""

    steps: int = Field(default=3, ge=1)
    """Timed training steps, with batches spread over an epoch."""
    users: int = Field(default=16, ge=1)
    """Number of users to rank for, one at a time, then together."""
    k: int = Field(default=10, ge=1)
    """Length of the lists."""
    seed: int = 0
    """Seed of the sampled batches and users."""


def measure_cost(settings: CostSettings, inputs: Folders, out: Path) -> None:
    """Measure a trained recommender: `cost.json`."""
    folders = str(inputs["recommender"]), str(inputs["data"])
    with apart(Costs, *folders, settings.model_dump()) as measured:
        costs = {part: measured.ask(part).value for part in ("size", "decoding", "training")}
    (out / FILE).write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")
    lines = [f"{part}, {name.replace('_', ' ')}: {value:,.6g}" for part in costs for name, value in costs[part].items()]
    write_summary(out, "Cost", lines)


def load_cost(folder: Path) -> dict[str, float]:
    """Read `cost.json` as flat figures, such as `training seconds per step`; figures that do not apply are absent.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        parts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {
            f"{part} {name.replace('_', ' ')}": float(value) for part in parts for name, value in parts[part].items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / FILE} cannot be read ({error}); run the study again") from None


class Costs:
    """A recommender with its data, in the measuring process."""

    def __init__(self, recommender: str, data: str, settings: dict[str, Any]) -> None:
        """Load recommender and data."""
        self._settings = CostSettings.model_validate(settings)
        self._recommender: Any = load_recommender(recommender)
        self._split: Split = load_split(Path(data))

    @property
    def _network(self) -> nn.Module | None:
        """The trainable network; None for recommenders without one."""
        trainable = isinstance(self._recommender, GramRecommender | TSRecRecommender)
        return self._recommender.model if trainable else None

    def size(self) -> dict[str, float]:
        """Return the number of weights, and the bytes of weights and item tables."""
        if self._network is None:
            return {}
        state = self._network.state_dict().values()
        stored = {value.data_ptr(): value.nbytes for value in state}
        return {"parameters": count_parameters(self._network), "bytes": sum(stored.values())}

    def decoding(self) -> dict[str, float]:
        """Measure ranking for users, one at a time and together; the catalogue's encoding is reported separately."""
        chosen = np.random.default_rng(self._settings.seed).permutation(len(self._split.test))[: self._settings.users]
        histories = self._split.test.histories.take(np.sort(chosen))

        def rank(rows: list[int]) -> None:
            with quiet():
                self._recommender.rank(histories.take(np.array(rows)), k=self._settings.k, exclude_seen=True)

        everybody = list(range(len(histories)))
        catalog_memory = _from_now_on()
        first = _timed(rank, everybody[:1])  # includes encoding the catalogue, where the family does that
        catalog_growth, memory = catalog_memory.growth, _from_now_on()
        seconds = [_timed(rank, [user]) for user in everybody]
        growth = memory.growth
        costs = {
            "seconds_per_user_alone": median(seconds),
            "seconds_per_user_together": _timed(rank, everybody) / len(everybody),
            "growth_mebibytes": growth,
            "catalogue_seconds": max(0.0, first - median(seconds)),
            "catalogue_growth_mebibytes": catalog_growth,
        }
        operations = sum(_operations(rank, [user]) for user in everybody) / len(everybody)
        return costs | ({"operations_per_user": operations} if operations else {})

    def training(self) -> dict[str, float]:
        """Measure a few training steps with learning rate 0; empty for recommenders without training steps."""
        if self._network is None:
            return {}
        given, per_epoch, targets = self._batches()
        network = self._network.train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)

        def step(batch: dict[str, Tensor]) -> None:
            optimizer.zero_grad()
            network(**batch)["loss"].backward()
            optimizer.step()

        memory = _from_now_on()
        operations = [_operations(step, batch) for batch in given]
        seconds = [_timed(step, batch) for batch in given]
        return {
            "seconds_per_step": median(seconds),
            "operations_per_step": sum(operations) / len(operations),
            "growth_mebibytes": memory.growth,
            "state_bytes": 4.0 * sum(weight.nbytes for weight in network.parameters()),
            "steps_per_epoch": per_epoch,
            "targets_per_step": targets,
            "operations_per_epoch": per_epoch * sum(operations) / len(operations),
        }

    def _batches(self) -> tuple[Batches, int, float]:
        """Return batches spread over an epoch, the number of batches of an epoch, and the mean targets per batch."""
        model, train, seed = self._recommender, self._split.train, self._settings.seed
        if isinstance(model, GramRecommender):
            how = model.settings.training
            cut = packed_windows if how.packed else windows_per_prefix
            windows = cut(train, model.settings.network.max_history)
            parts = batches(windows, how.batch_targets, [seed, 0])
            return (
                [windows.batch(parts[place]) for place in self._places(len(parts))],
                len(parts),
                float(windows.targets.sum()) / len(parts),
            )
        texts = TaskTexts.of(model.catalog, model.words, None)
        examples = make_examples(model.builder, train, texts, model.settings.tasks, seed=seed)
        epochs = epochs_of(examples, model.settings.training)
        given = [epochs[place] for place in self._places(epochs.per_epoch)]
        return given, epochs.per_epoch, len(examples) / epochs.per_epoch

    def _places(self, count: int) -> list[int]:
        """Return the indices of the measured batches."""
        places = np.linspace(0, count - 1, min(count, self._settings.steps))
        return [int(place) for place in np.unique(places.round())]


def _from_now_on() -> PeakMemory:
    """Start measuring memory, after returning freed memory to the system, which would hide later growth."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # other C libraries lack malloc_trim
            ctypes.CDLL(None).malloc_trim(0)
    return PeakMemory()


def _timed(work: Callable[[T], object], given: T) -> float:
    begin = time.perf_counter()
    work(given)
    return time.perf_counter() - begin


def _operations(work: Callable[[T], object], given: T) -> float:
    with FlopCounterMode(display=False) as counter:
        work(given)
    return float(counter.get_total_flops())

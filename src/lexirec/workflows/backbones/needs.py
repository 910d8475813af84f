"""What training a backbone needs: memory by a formula and by a probe, seconds a step by the probe.

The formula counts float32: weights 4 bytes; for every trained weight 4 more for its gradient and 8 for the two moments
of AdamW. A table of which only new rows are trained counts whole, since gradient and moments have its shape. What
layers keep for the backward pass is counted by the shapes of their inputs. The probe takes real training steps on
random tokens, and adds up the tensors that exist: weights, gradients, moments and what was saved for the backward pass.

Legend: `B` rows of a batch, `L` tokens.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import LoraSettings, TSRecNetworkSettings
from lexirec.models.tsrec.sft import Training
from lexirec.nn.backbone_fit import tables_of
from lexirec.nn.pretrained import count_parameters
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.workflows.backbones.facts import BackboneFacts

Way = Literal["full", "lora", "embeddings"]
CODES, LEVELS = 256, 3
"""Shape of the identifiers that a probe adds: tokens of a level, and levels."""

_FLOAT, _STEP = 4, 12
_ANSWER = 16
_ENOUGH_SECONDS, _MOST_STEPS = 2.0, 5
_ITEMS = 1000


@dataclass(frozen=True)
class Batch:
    """The batch that a probe trains on: rows, and tokens of each."""

    rows: int = 4
    length: int = 64


@dataclass(frozen=True)
class Need:
    """What one way of training needs.

    Attributes:
        way: full, lora or embeddings, as in `SftSettings.trainable`.
        trained: number of weights that are trained, as far as they have gradients.
        formula: bytes by the formula.
        probe: bytes by the probe; None where it was not made.
        seconds: of a step in the probe; None where it was not made.
        skipped: why there was no probe.
    """

    way: Way
    trained: int
    formula: int
    probe: int | None = None
    seconds: float | None = None
    skipped: str = ""


def needs(facts: BackboneFacts, backbone: Backbone, batch: Batch, available: int, *, probe: bool = True) -> list[Need]:
    """Return what each way of training a backbone needs; encoder-decoders are trained in full only.

    Args:
        facts: of the backbone.
        backbone: as loaded; a probe adds tokens to it.
        batch: that the probe trains on.
        available: bytes of free memory; a probe that needs more is left out.
        probe: False leaves out the probes.
    """
    ways: tuple[Way, ...] = ("full",) if facts.kind == "encoder-decoder" else ("full", "lora", "embeddings")
    planned = [_planned(way, facts, backbone.model, batch) for way in ways]
    if not probe:
        return planned
    pieces = [f"<{letter}_{code}>" for letter in "abc"[:LEVELS] for code in range(CODES)]
    ids = add_tokens(backbone, pieces)
    return [_probed(need, facts, backbone, batch, (ids, available)) for need in planned]


# ---------------------------------------------------------------------------------------------------------- the formula


def _planned(way: Way, facts: BackboneFacts, model: Any, batch: Batch) -> Need:
    tables = sum(table.numel() for table in tables_of(model))
    trained = {"full": facts.parameters, "lora": tables + _lora_weights(model), "embeddings": tables}[way]
    extra = trained - tables if way == "lora" else 0
    weights = _FLOAT * (facts.parameters + extra) + _STEP * trained
    return Need(way, trained, weights + batch.rows * batch.length * _kept_bytes(way, facts, batch))


def _lora_weights(model: nn.Module) -> int:
    """Return the number of weights of low-rank updates at their default rank."""
    head, rank = model.get_output_embeddings(), LoraSettings().rank  # type: ignore[operator]
    shapes = [_shape(module) for module in model.modules() if module is not head]
    return sum(rank * sum(shape) for shape in shapes if shape is not None)


def _shape(module: nn.Module) -> tuple[int, int] | None:
    """Return inputs and outputs of a linear layer, GPT-2's kind included; None for other modules."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":
        rows, columns = module.weight.shape  # type: ignore[misc]
        return int(rows), int(columns)
    return None


def _kept_bytes(way: Way, facts: BackboneFacts, batch: Batch) -> int:
    """Return the bytes that a token keeps for the backward pass: what norms, products and activations were given.

    A product with weights that are not trained needs no input for its gradient.
    """
    attention, keys = facts.heads * facts.head_dim, facts.key_value_heads * facts.head_dim
    width, inner = (3, 3) if way == "embeddings" else (7, 4)
    layer = width * facts.width + 2 * attention + 2 * keys + inner * facts.feed_forward
    if facts.kind == "encoder-decoder":  # dropout and the weights of attention; decoder rows are short
        layer += 6 * facts.width + 2 * facts.feed_forward + 3 * facts.heads * batch.length
    logits = facts.rows * _ANSWER / (2 * batch.length)  # half the rows have a text to predict
    return int(_FLOAT * (facts.layers * layer + 4 * facts.width + logits))


# ------------------------------------------------------------------------------------------------------------ the probe


def _probed(need: Need, facts: BackboneFacts, backbone: Backbone, batch: Batch, given: tuple[list[int], int]) -> Need:
    ids, available = given
    if need.way == "lora" and importlib.util.find_spec("peft") is None:
        return replace(need, skipped='peft is not installed: pip install "lexirec[lora]"')
    if need.formula > available:
        return replace(need, skipped=f"only {available / 2**30:.1f} GiB are free")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.model.to(device).train()
    probe = _seq2seq_step if facts.kind == "encoder-decoder" else _causal_step
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            size, seconds = probe(backbone, ids, batch, need.way)
        finally:
            backbone.model.zero_grad(set_to_none=True)
            backbone.model.eval()
    return replace(need, probe=size, seconds=seconds)


def _causal_step(backbone: Backbone, ids: list[int], batch: Batch, way: Way) -> tuple[int, float]:
    """Train on random prompts: half of the rows have an item to predict, half a text of sixteen tokens."""
    levels = np.array(ids, dtype=np.int32).reshape(LEVELS, CODES)
    rng = np.random.default_rng(0)
    rows = np.unique(rng.integers(0, CODES, size=(_ITEMS, LEVELS)), axis=0)
    identifiers = np.stack([levels[level, rows[:, level]] for level in range(LEVELS)], axis=1)
    model = TSRecNetwork(backbone.model, TSRecNetworkSettings(), Trie.build(identifiers)).train()
    training = Training(model, way, min(ids), lora=LoraSettings(), seed=0)
    device, length = model.device, max(batch.length, _ANSWER + LEVELS + 1)
    tokens = torch.from_numpy(rng.integers(0, min(ids), size=(batch.rows, length)))
    items = torch.full((batch.rows,), -1)
    items[: (batch.rows + 1) // 2] = torch.arange((batch.rows + 1) // 2) % len(identifiers)
    labels = torch.full_like(tokens, -100)
    labels[items < 0, -_ANSWER:] = tokens[items < 0, -_ANSWER:]
    starts = torch.full((batch.rows,), length - LEVELS)
    inputs = (tokens, torch.ones_like(tokens).bool(), labels, items, starts, torch.full((batch.rows, 1), -1))
    moved = tuple(each.to(device) for each in inputs)
    try:
        return _measured(model, lambda: model(*moved)["loss"])
    finally:
        training.finish()


def _seq2seq_step(backbone: Backbone, ids: list[int], batch: Batch, way: Way) -> tuple[int, float]:
    """Train on random prompts with identifiers to predict."""
    model, rng = backbone.model, np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(0, min(ids), size=(batch.rows, batch.length))).to(model.device)
    labels = torch.from_numpy(rng.choice(ids, size=(batch.rows, LEVELS + 1))).to(model.device)
    return _measured(model, lambda: model(input_ids=tokens, labels=labels).loss)


def _measured(model: nn.Module, loss: Any) -> tuple[int, float]:
    """Take steps of AdamW; return the bytes of all tensors that a step needs, and the seconds of the fastest step."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-6)
    known = {weight.data_ptr() for weight in model.parameters()}
    kept = _Kept(known)
    times: list[float] = []
    while len(times) < 2 or (sum(times) < _ENOUGH_SECONDS and len(times) < _MOST_STEPS):
        begun = time.perf_counter()
        if times:
            value = loss()
        else:  # the first step is slower, so what it keeps is counted there
            with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda saved: saved):
                value = loss()
        value.backward()
        optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
        gradients = sum(
            weight.grad.numel() * weight.grad.element_size() for weight in weights if weight.grad is not None
        )
        optimizer.zero_grad(set_to_none=True)
    moments = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )
    return _FLOAT * count_parameters(model) + gradients + moments + kept.size, min(times[1:])


class _Kept:
    """Adds up the tensors that are saved for a backward pass, each storage once, without the model's weights."""

    def __init__(self, known: set[int]) -> None:
        self._seen = set(known)
        self.size = 0

    def keep(self, saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.size += storage.nbytes()
        return saved

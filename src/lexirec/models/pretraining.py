"""Pretraining a backbone on the catalogue's own text: a language space for models from nothing, the shop's for others.

Causal models learn to go on (packed blocks), encoder-decoders to fill in what was taken out of a block (span
corruption as T5 has it). Weights are chosen by their perplexity on texts that are never trained on.

Legend: `B` blocks of a batch, `L` tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.data.sequences import Sequences
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.nn.tokenizer import encode_all
from lexirec.training.arguments import early_stopping
from lexirec.training.batching import Ints, blocks, corrupt, random_spans, spans_of
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, carry_out

Objective = Literal["causal", "span-corruption"]
PERPLEXITY = "validation_perplexity"
"""The figure by which pretrained weights are chosen: per token of texts that are held out."""
_HELD_OUT = 2**31  # the "epoch" of which held-out texts draw their spans
_LEAST = 8  # tokens that make a block


class PretrainSettings(TrainerSettings):
    """How a backbone is pretrained."""

    objective: Objective | None = None
    """By default what suits the family: causal for causal models, span-corruption for encoder-decoders."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of AdamW, after the warm-up and before the cosine decay; pretrained models need less, about 5e-5."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    evals_per_epoch: int = Field(default=1, ge=1)
    """How often weights are judged."""
    batch_size: int = Field(default=16, ge=1)
    """Blocks of a batch."""
    max_length: int = Field(default=256, ge=8)
    """Tokens of a block."""
    noise: float = Field(default=0.15, gt=0, lt=1)
    """Share of a block's tokens that are taken out (span corruption)."""
    mean_span: float = Field(default=3.0, ge=1)
    """Tokens of a span that is taken out, on average."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the texts that choose the weights and are not trained on; 0 trains on all and keeps the last weights."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without better weights after which pretraining stops."""


def pretrain(
    backbone: Backbone, texts: Sequence[str], settings: PretrainSettings, *, folder: Path
) -> list[dict[str, float]]:
    """Pretrain a backbone in place; afterwards it holds the weights of the lowest perplexity.

    Span corruption needs sentinel tokens: those the tokenizer lacks are added to it and to the model.

    Args:
        backbone: model and tokenizer of either family.
        texts: one per item; empty ones are passed over.
        settings: how.
        folder: where checkpoints go; a run carries on from what is there.

    Returns:
        The curve: rows with `step`, `epoch` and `loss` or `validation_perplexity`.

    Raises:
        SettingsError: the objective does not suit the model's family.
        DataError: there is too little text.
    """
    objective = _objective(backbone.model, settings.objective)
    train, held_out = _documents(backbone, texts, settings)
    layout = _Layout.of(backbone, objective, settings)
    epochs = Epochs(partial(_parts, train, settings), layout.batch, settings.epochs)
    judge = _Perplexity(_parts(held_out, settings), layout) if held_out is not None else None
    run = TrainingRun(
        settings, folder, judge, early_stopping(settings.patience), columns=(PERPLEXITY,), title="Pretraining"
    )
    return carry_out(ChoosingTrainer(_Language(backbone.model), epochs, run))


class _Part(NamedTuple):
    """Some blocks, and the seed of what is taken out of them."""

    tokens_BL: Ints
    seed: tuple[int, ...]


class _Layout(NamedTuple):
    """How blocks are laid out for a model: no sentinels where nothing is taken out."""

    sentinels: Ints
    end: int
    noise: float
    mean_span: float

    @classmethod
    def of(cls, backbone: Backbone, objective: Objective, settings: PretrainSettings) -> _Layout:
        names: list[str] = []
        if objective == "span-corruption":
            _, spans = spans_of(settings.max_length, settings.noise, settings.mean_span)
            names = [f"<extra_id_{number}>" for number in range(spans + 1)]
        ids = add_tokens(backbone, names) if names else []
        end: int = backbone.tokenizer.eos_token_id
        return cls(np.array(ids, dtype=np.int64), end, settings.noise, settings.mean_span)

    def batch(self, part: _Part) -> dict[str, Tensor]:
        tokens_BL = torch.from_numpy(part.tokens_BL)
        if not len(self.sentinels):
            return {"input_ids": tokens_BL, "labels": tokens_BL}
        random = np.random.default_rng(part.seed)
        shape = part.tokens_BL.shape[0], part.tokens_BL.shape[1]
        taken_BL = random_spans(shape, self.noise, self.mean_span, random)
        holes, target = corrupt(part.tokens_BL, taken_BL, self.sentinels, self.end)
        return {"input_ids": torch.from_numpy(holes), "labels": torch.from_numpy(target)}


class _Language(nn.Module):
    """A language model whose forward pass is its loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": self.model(input_ids=input_ids, labels=labels, use_cache=False).loss}


class _Perplexity:
    """Judges weights by the perplexity of held-out blocks."""

    metric, sign = PERPLEXITY, -1

    def __init__(self, parts: list[_Part], layout: _Layout) -> None:
        self._batches = [layout.batch(part) for part in parts]

    @torch.no_grad()
    def figures(self, model: nn.Module) -> dict[str, float]:
        model.eval()
        device = next(model.parameters()).device
        total, count = 0.0, 0
        for batch in self._batches:
            tokens = batch["labels"].numel()
            total += model(**{name: value.to(device) for name, value in batch.items()})["loss"].item() * tokens
            count += tokens
        model.train()
        return {PERPLEXITY: math.exp(min(total / count, 700.0))}


def _objective(model: Any, asked: Objective | None) -> Objective:
    suits: Objective = "span-corruption" if model.config.is_encoder_decoder else "causal"
    if asked not in (None, suits):
        raise SettingsError(
            f"pretraining.objective is '{asked}', but the backbone is of type '{model.config.model_type}';"
            f" '{suits}' suits it"
        )
    return suits


def _documents(
    backbone: Backbone, texts: Sequence[str], settings: PretrainSettings
) -> tuple[Sequences, Sequences | None]:
    """Return texts as rows of ids, begin and end included: those trained on and, if there are any, those held out."""
    written = [text for text in texts if text.strip()]
    tokenizer = backbone.tokenizer
    rows = encode_all(tokenizer, written, "tokenising texts")
    there = rows.lengths > 0
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    whole = side_by_side([Ragged.repeated(begin, there), rows, Ragged.repeated([tokenizer.eos_token_id], there)])
    documents = Sequences(whole.values.numpy(), whole.offsets.numpy())
    documents = documents.take(np.flatnonzero(documents.lengths))
    order = np.random.default_rng([settings.seed, _HELD_OUT]).permutation(len(documents))
    held = max(1, round(settings.held_out * len(order))) if settings.held_out else 0
    train = documents.take(np.sort(order[held:]))
    if len(train.items) < _LEAST:
        raise DataError(f"{len(written):,} texts are too little to pretrain on; name more text fields")
    unseen = documents.take(np.sort(order[:held]))
    return train, unseen if len(unseen.items) >= _LEAST else None


def _parts(documents: Sequences, settings: PretrainSettings, epoch: int | None = None) -> list[_Part]:
    """Cut documents into batches of blocks, in the random order of an epoch, or as they are where they are held out."""
    seed = (settings.seed, _HELD_OUT if epoch is None else epoch)
    tokens = blocks(documents, settings.max_length, None if epoch is None else seed)
    batches = np.array_split(tokens, max(1, -(-len(tokens) // settings.batch_size)))
    return [_Part(batch, (*seed, number)) for number, batch in enumerate(batches)]

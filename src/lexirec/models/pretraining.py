"""Language-model pretraining of a backbone on the catalogue's texts, for models from scratch or domain adaptation.

Causal models are trained on packed blocks (next token), encoder-decoders on span corruption as in T5. Weights are
chosen by their perplexity on held-out texts.

Legend: `B` blocks of a batch, `L` tokens.
"""

from __future__ import annotations

import logging
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
from lexirec.nn.backbone_fit import positions_of
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.nn.tokenizer import encode_all
from lexirec.training.arguments import early_stopping
from lexirec.training.batching import Ints, blocks, corrupt, random_spans, spans_of
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training

Objective = Literal["causal", "span-corruption"]
PERPLEXITY = "validation_perplexity"
"""Metric that chooses pretrained weights: perplexity per token of held-out texts."""
_HELD_OUT = 2**31  # stands for the epoch in the seed of held-out texts
_LEAST = 8  # minimum tokens of a block
_log = logging.getLogger(__name__)


class PretrainSettings(TrainerSettings):
    """How a backbone is pretrained."""

    objective: Objective | None = None
    """By default the objective of the family: causal for causal models, span-corruption for encoder-decoders."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of AdamW, after the warm-up and before the decay; pretrained models need less, about 5e-5."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    evals_per_epoch: int = Field(default=1, ge=1)
    """Number of validations per epoch."""
    batch_size: int = Field(default=16, ge=1)
    """Blocks of a batch."""
    max_length: int = Field(default=256, ge=8)
    """Tokens of a block."""
    noise: float = Field(default=0.15, gt=0, lt=1)
    """Share of a block's tokens that are masked (span corruption)."""
    mean_span: float = Field(default=3.0, ge=1)
    """Mean tokens of a masked span (span corruption)."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the texts that validate and are not trained on; 0 trains on all texts and keeps the last weights."""
    patience: int = Field(default=3, ge=1)
    """Validations in a row without better weights after which pretraining stops."""


def pretrain(
    backbone: Backbone, texts: Sequence[str], settings: PretrainSettings, *, folder: Path
) -> list[dict[str, float]]:
    """Pretrain a backbone in place; afterwards it holds the weights of the lowest perplexity.

    Span corruption needs sentinel tokens: those the tokenizer lacks are added to it and to the model.

    Args:
        backbone: model and tokenizer, causal or encoder-decoder.
        texts: one per item; empty ones are skipped.
        settings: of the pretraining.
        folder: of the checkpoints; a run resumes from the newest one.

    Returns:
        The learning curve: rows with `step`, `epoch` and `loss` or `validation_perplexity`.

    Raises:
        SettingsError: the objective does not suit the model's family.
        DataError: there is too little text.
        TrainingError: the training diverges.
    """
    objective = _objective(backbone.model, settings.objective)
    settings = _held(settings, backbone)
    train, held_out = _documents(backbone, texts, settings)
    layout = _Layout.of(backbone, objective, settings)
    epochs = Epochs(partial(_parts, train, settings), layout.batch, settings.epochs)
    validator = _Perplexity(_parts(held_out, settings), layout) if held_out is not None else None
    run = TrainingRun(
        settings, folder, validator, early_stopping(settings.patience), columns=(PERPLEXITY,), title="Pretraining"
    )
    return run_training(ChoosingTrainer(_Language(backbone.model), epochs, run))


class _Part(NamedTuple):
    """Blocks of one batch, and the seed of their masked spans."""

    tokens_BL: Ints
    seed: tuple[int, ...]


class _Layout(NamedTuple):
    """Turns blocks into model inputs; without sentinels the objective is causal."""

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
    """A language model whose forward pass returns its loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": self.model(input_ids=input_ids, labels=labels, use_cache=False).loss}


class _Perplexity:
    """Validates weights by the perplexity of held-out blocks."""

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
        mean = total / count
        return {PERPLEXITY: math.exp(min(mean, 700.0)) if math.isfinite(mean) else mean}


def _held(settings: PretrainSettings, backbone: Backbone) -> PretrainSettings:
    """Return the settings with blocks that the model can hold."""
    positions = positions_of(backbone.model.config)
    if positions is None or positions >= settings.max_length:
        return settings
    _log.warning(
        "blocks have %d instead of pretraining.max_length = %d tokens: the backbone has no more positions",
        positions,
        settings.max_length,
    )
    return settings.model_copy(update={"max_length": positions})


def _objective(model: Any, wanted: Objective | None) -> Objective:
    suitable: Objective = "span-corruption" if model.config.is_encoder_decoder else "causal"
    if wanted not in (None, suitable):
        raise SettingsError(
            f"pretraining.objective is '{wanted}', but a backbone of type '{model.config.model_type}' is pretrained"
            f" with '{suitable}'; set that, or leave it out"
        )
    return suitable


def _documents(
    backbone: Backbone, texts: Sequence[str], settings: PretrainSettings
) -> tuple[Sequences, Sequences | None]:
    """Return texts as rows of ids with begin and end tokens: those for training, and the held-out ones or None."""
    written = [text for text in texts if text.strip()]
    tokenizer = backbone.tokenizer
    rows = encode_all(tokenizer, written, "tokenising texts")
    present = rows.lengths > 0
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    whole = side_by_side([Ragged.repeated(begin, present), rows, Ragged.repeated([tokenizer.eos_token_id], present)])
    documents = Sequences(whole.values.numpy(), whole.offsets.numpy())
    documents = documents.take(np.flatnonzero(documents.lengths))
    order = np.random.default_rng([settings.seed, _HELD_OUT]).permutation(len(documents))
    held = max(1, round(settings.held_out * len(order))) if settings.held_out else 0
    train = documents.take(np.sort(order[held:]))
    if len(train.items) < _LEAST:
        raise DataError(
            f"pretraining: {len(written):,} texts leave fewer than {_LEAST} tokens to train on; add text fields"
        )
    unseen = documents.take(np.sort(order[:held]))
    return train, unseen if len(unseen.items) >= _LEAST else None


def _parts(documents: Sequences, settings: PretrainSettings, epoch: int | None = None) -> list[_Part]:
    """Cut documents into batches of blocks: in an epoch's random order, or in their own order where held out."""
    seed = (settings.seed, _HELD_OUT if epoch is None else epoch)
    tokens = blocks(documents, settings.max_length, None if epoch is None else seed)
    batches = np.array_split(tokens, max(1, -(-len(tokens) // settings.batch_size)))
    return [_Part(batch, (*seed, number)) for number, batch in enumerate(batches)]

"""T5 backbone: load a pretrained T5 from a folder or the hub, or build one with random weights.

`load_tokenizer` comes first, since identifiers consist of its pieces; `load_backbone` returns model and tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.t5.modeling_t5 import T5Attention

from lexirec.core.config import ModelName
from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.nn.backbone_fit import check_reads, fill_rows, fit_table, load_model, name_tokens, tables_of, with_padding
from lexirec.nn.backbone_folder import check_config, check_tokenizer_files
from lexirec.nn.depth import cut_depth
from lexirec.nn.families import check_encoder_decoder
from lexirec.nn.pretrained import SCRATCH, configuration, fetched, no_bars, scratch_size, warn_of_sizes
from lexirec.nn.text_encoder import (
    EncoderChoice,
    TextEncoder,
    load_encoder_tokenizer,
    load_text_encoder,
    restore_text_encoder,
)
from lexirec.nn.tokenizer import train_tokenizer, without_cache

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"d_model": 64, "layers": 2, "heads": 4, "feed_forward": 256},
    "small": {"d_model": 512, "layers": 6, "heads": 8, "feed_forward": 2048},
    "base": {"d_model": 768, "layers": 12, "heads": 12, "feed_forward": 3072},
    "tiger": {"d_model": 128, "layers": 4, "heads": 6, "feed_forward": 1024, "head_size": 64},
}
"""Sizes of `scratch:NAME` models; small and base are those of T5-small and T5-base, tiger is TIGER's, whose heads are
wider than a share of `d_model`."""


class BackboneSettings(EncoderChoice):
    """Settings of a T5 backbone: which model and, for `scratch:` models, its size and the encoder in front of it."""

    kind: Literal["encoder-decoder"] = "encoder-decoder"
    name: ModelName = "scratch:small"
    """A local folder, a GGUF file, a hub name, or scratch:tiny, scratch:small, scratch:base, scratch:tiger for random
    weights and a tokenizer trained on the catalogue's text. The settings from `vocabulary_size` on affect scratch
    models only."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the model, pretrained ones included."""
    attention_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout of attention weights; by default that of the model. 0 saves sampling the largest mask of a step."""
    vocabulary_size: int = Field(default=8192, ge=128)
    """Most pieces of the tokenizer; small catalogues yield fewer."""
    lower_case: bool = True
    """Let the tokenizer convert text to lower case."""
    d_model: int | None = Field(default=None, ge=1)
    """Width of the hidden states; by default that of the named size, as for the next four."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of the encoder, and of the decoder unless `decoder_layers` is set."""
    decoder_layers: int | None = Field(default=None, ge=1)
    """Layers of the decoder."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads of every layer; they divide d_model."""
    feed_forward: int | None = Field(default=None, ge=1)
    """Inner width of the feed-forward layers."""
    activation: Literal["relu", "gated-gelu"] = "relu"
    """Feed-forward layers as in T5 (relu) or T5 v1.1 (gated-gelu)."""

    residual_scale: float = Field(default=0.2, gt=0)
    """Factor on the initial output projections of every layer. Below 1, layers start close to the identity, which helps
    small models on small catalogues (docs/log/); 1 is T5's own initialisation."""

    @property
    def scratch(self) -> bool:
        """Whether the model starts from random weights."""
        return self.name.startswith(SCRATCH)


class Backbone(NamedTuple):
    """A language model, T5 or causal, its tokenizer, and for T5 the pretrained encoder in front of it, if any."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    text_encoder: TextEncoder | None = None


def load_backbone(
    settings: BackboneSettings | str,
    *,
    texts: Sequence[str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a pretrained T5, or build one with random weights, in float32 on the CPU and in evaluation mode.

    Args:
        settings: The settings, or only the name.
        texts: The catalogue's texts, to train a scratch model's tokenizer on, and to see that another one reads them.
        tokenizer: The tokenizer, if it is already loaded.
        seed: Of the random weights; the global random state is not changed.

    Raises:
        SettingsError: the name is unknown, unavailable, or no encoder-decoder of the T5 family; its folder lacks a
            tokenizer or weights, or its tokenizer does not read the texts; or sizes do not fit.
        ArtifactError: the model's files cannot be read, are incomplete, or do not belong together.
        DataError: a scratch tokenizer is to be trained and there is no text.
    """
    settings = _as_settings(settings)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(settings, texts=texts)
    if not settings.scratch:
        model = _pretrained_model(settings).eval()
        fit_table(model, with_padding(tokenizer, settings.name), settings.name)
        name_tokens(model, tokenizer, settings.name)
        return Backbone(_with_attention_dropout(model, settings), tokenizer)
    config = scratch_config(settings, len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config).eval()
    _scale_outputs(model, settings.residual_scale)
    encoder = None if settings.encoder is None else load_text_encoder(settings.encoder, tokenizer, config, seed=seed)
    return Backbone(_with_attention_dropout(model, settings), tokenizer, encoder)


def _with_attention_dropout(
    model: T5ForConditionalGeneration, settings: BackboneSettings
) -> T5ForConditionalGeneration:
    for module in model.modules():
        if settings.attention_dropout is not None and isinstance(module, T5Attention):
            module.dropout = settings.attention_dropout
    return model


@torch.no_grad()
def _scale_outputs(model: T5ForConditionalGeneration, factor: float) -> None:
    """Scale the output projections, so what attention and feed-forward layers add to the residual stream."""
    for name, weight in model.named_parameters():
        if name.endswith((".o.weight", ".wo.weight")):
            weight.mul_(factor)


def load_tokenizer(settings: BackboneSettings | str, *, texts: Sequence[str] | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a pretrained backbone, or train the one of a scratch backbone on the catalogue's texts.

    A tokenizer without a padding token pads with its end token.

    Raises:
        SettingsError: the name is unknown, unavailable, or no encoder-decoder of the T5 family; its folder lacks a
            tokenizer, or that has no end token or does not read the texts.
        DataError: a scratch tokenizer is to be trained and there is no text.
    """
    settings = _as_settings(settings)
    if not settings.scratch:
        family_config(settings.name)
        check_tokenizer_files(settings.name)
        loaded = fetched(AutoTokenizer, settings.name, "tokenizer", trust_remote_code=False)
        check_reads(loaded, texts, settings.name)
        return with_padding(loaded, settings.name)
    scratch_size(settings.name, SIZES)
    if settings.encoder is not None:
        return load_encoder_tokenizer(settings.encoder.name, texts=texts)
    if texts is None:
        raise DataError(f"backbone '{settings.name}' trains its tokenizer on the catalogue's text; give texts")
    return train_tokenizer(texts, vocabulary_size=settings.vocabulary_size, lower_case=settings.lower_case)


def scratch_config(settings: BackboneSettings, vocabulary_size: int) -> T5Config:
    """Return the T5 configuration of a scratch backbone whose tokenizer has `vocabulary_size` pieces."""
    sizes = scratch_size(settings.name, SIZES) | settings.model_dump(include=set(SIZES["tiny"]), exclude_none=True)
    if "head_size" not in sizes and sizes["d_model"] % sizes["heads"]:
        raise SettingsError(
            f"backbone.heads is {sizes['heads']}, which does not divide d_model {sizes['d_model']};"
            " give a divisor of d_model"
        )
    return T5Config(
        vocab_size=vocabulary_size,
        d_model=sizes["d_model"],
        d_kv=sizes.get("head_size") or sizes["d_model"] // sizes["heads"],
        d_ff=sizes["feed_forward"],
        num_layers=sizes["layers"],
        num_decoder_layers=settings.decoder_layers or sizes["layers"],
        num_heads=sizes["heads"],
        dropout_rate=settings.dropout,
        feed_forward_proj=settings.activation,
        tie_word_embeddings=True,
        decoder_start_token_id=0,
    )


def save_backbone(backbone: Backbone, folder: Path) -> None:
    """Write model (safetensors) and tokenizer into a folder; `load_backbone` accepts its path as a name."""
    with no_bars():
        backbone.model.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)


def save_configuration(backbone: Backbone, folder: Path) -> None:
    """Write tokenizer and model configuration without weights, for recommenders that save all weights in one file."""
    with no_bars():
        backbone.model.config.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        if backbone.text_encoder is not None:
            backbone.text_encoder.save_configuration(folder)


def restore_backbone(folder: Path) -> Backbone:
    """Rebuild the model that `save_configuration` described, with random weights for the caller to overwrite.

    Raises:
        OSError, ValueError: the folder is incomplete or damaged.
    """
    with no_bars():
        config = T5Config.from_pretrained(folder)
        tokenizer = without_cache(AutoTokenizer.from_pretrained(folder))
    with torch.random.fork_rng(devices=[]):
        model = T5ForConditionalGeneration(config).eval()
    return Backbone(model, tokenizer, restore_text_encoder(folder, tokenizer, config))


def untie(model: T5ForConditionalGeneration) -> None:
    """Untie the output layer from the input embeddings, also for rows added later (T5 1.1 and mT5).

    Needed because T5's configuration declares them tied whatever the checkpoint holds (transformers 5).
    """
    if model.lm_head.weight is model.shared.weight:
        model.lm_head.weight = torch.nn.Parameter(model.shared.weight.detach().clone())
    model.config.tie_word_embeddings = False


@torch.no_grad()
def add_tokens(backbone: Backbone, pieces: Sequence[str], *, seed: int = 0, spread: float = 0.1) -> list[int]:
    """Add the pieces that the tokenizer lacks, with embedding (and output) rows; return the ids of all pieces in order.

    A new row is the mean of the existing rows plus noise of `spread` times their standard deviation; a tenth keeps the
    row in the range of a pretrained model, yet distinguishable. Rows that a checkpoint holds beyond its tokenizer's
    pieces (T5 has 28) are used first.

    Raises:
        SettingsError: a piece is empty or occurs twice.
        ArtifactError: a table did not grow.
    """
    model, tokenizer = backbone.model, backbone.tokenizer
    if len(set(pieces)) < len(pieces) or "" in pieces:
        raise SettingsError("pieces to add to the vocabulary must be different and not empty")
    n_known, vocabulary = len(tokenizer), tokenizer.get_vocab()
    tokenizer.add_tokens([piece for piece in pieces if piece not in vocabulary])
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for table in tables_of(model):
        if len(table) < len(tokenizer):  # a head of its own has to grow with the table
            raise ArtifactError(
                f"a table of the backbone has {len(table):,} rows after resizing, but its tokenizer {len(tokenizer):,} "
                f"pieces; models of type '{model.config.model_type}' cannot take tokens in this release of transformers"
            )
        fill_rows(table, n_known, len(tokenizer), seed, spread)
    if backbone.text_encoder is not None:
        backbone.text_encoder.add_rows(n_known, len(tokenizer), seed, spread)
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(pieces))
    return ids


def _as_settings(settings: BackboneSettings | str) -> BackboneSettings:
    return BackboneSettings(name=settings) if isinstance(settings, str) else settings


def _pretrained_model(settings: BackboneSettings) -> T5ForConditionalGeneration:
    config = cut_depth(family_config(settings.name), settings.keep_layers, settings.name)
    config.dropout_rate = settings.dropout
    warn_of_sizes(settings, {*SIZES["tiny"], "decoder_layers"})
    # explicit, since the default is the checkpoint's own type, half precision for many
    kept = {"config": config, "dtype": torch.float32, "keep_layers": settings.keep_layers}
    with no_bars() if Path(settings.name).expanduser().is_dir() else nullcontext():  # downloads show their progress
        model = load_model(AutoModelForSeq2SeqLM, settings.name, **kept)
    if model.lm_head.weight is not model.shared.weight:
        untie(model)
    return model


def family_config(name: str) -> Any:
    """Return the configuration of a pretrained encoder-decoder of the T5 family.

    Raises:
        SettingsError: the name is unknown, unavailable, or of another family.
        ArtifactError: it cannot be read.
    """
    check_config(name)
    config = configuration(name)
    check_encoder_decoder(config, name)
    return config

"""Whether the parts of a pretrained backbone fit each other and the catalogue: weights, tokenizer, table, positions."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.backbone_folder import check_weight_files
from lexirec.nn.gguf_file import forget_quantization, whole_weights
from lexirec.nn.pretrained import fetched, no_reports

_TEXTS = 256
"""Most texts that are tokenised to see whether a tokenizer reads a catalogue."""
_MANY = 0.25
"""Share of unknown pieces from which a warning is due."""
_log = logging.getLogger(__name__)


def load_model(
    loader: Any, name: str, *, keep_layers: int | None = None, beyond: str | None = None, **options: Any
) -> Any:
    """Load a pretrained model whose weights are all there, of the right shapes, and finite.

    Args:
        loader: a class with `from_pretrained`.
        name: a folder, a GGUF file or a hub name.
        keep_layers: depth to which the configuration was cut; weights of further layers are left out.
        beyond: pattern of weights that are of no use, so that it does not matter whether they are stored.
        options: for `from_pretrained`.

    Raises:
        SettingsError: there is no such model.
        ArtifactError: weights are missing, damaged, of another model, or not finite.
    """
    check_weight_files(name)
    with no_reports():  # what they say is checked here
        model, found = fetched(
            loader,
            name,
            "model",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **whole_weights(name),
            **options,
        )
    forget_quantization(model)
    if found["mismatched_keys"]:
        key, stored, wanted = next(iter(found["mismatched_keys"]))
        raise ArtifactError(
            f"backbone '{name}': its weights do not fit its config.json: '{key}' has the shape {tuple(stored)}, by the "
            f"configuration {tuple(wanted)}; copy both from one model"
        )
    missing, unused = (
        [key for key in found[which] if beyond is None or re.search(beyond, key) is None]
        for which in ("missing_keys", "unexpected_keys")
    )
    if missing:
        raise ArtifactError(
            f"backbone '{name}': its weights are incomplete: {len(missing):,} of them are missing, such as "
            f"'{min(missing)}'; save the whole model with save_pretrained"
        )
    unused = [key for key in unused if not _beyond(key, keep_layers)]
    if unused:
        _log.warning(
            "backbone '%s': %d of its weights are not used, such as '%s': its config.json describes a smaller model",
            name,
            len(unused),
            min(unused),
        )
    _check_finite(model, name)
    return model


def _beyond(key: str, keep_layers: int | None) -> bool:
    """Return whether a weight is of a layer beyond the kept ones."""
    return keep_layers is not None and any(part.isdigit() and int(part) >= keep_layers for part in key.split("."))


def _check_finite(model: nn.Module, name: str) -> None:
    for weight, value in model.named_parameters():
        if not value.isfinite().all():
            raise ArtifactError(
                f"backbone '{name}': its weight '{weight}' holds NaN or infinity; save the model again, or choose "
                "another"
            )


# ----------------------------------------------------------------------------------------------------- the tokenizer


def with_padding(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    """Let a tokenizer without a padding token pad with its end token; masks mark the padding, never the id.

    Raises:
        SettingsError: it has no end token.
    """
    if tokenizer.eos_token is None:
        raise SettingsError(
            f"backbone '{name}': its tokenizer has no end-of-text token; set eos_token in its tokenizer_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_reads(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str] | None, name: str) -> None:
    """Check on a sample that a tokenizer turns a catalogue's texts into pieces that it knows.

    Args:
        tokenizer: the tokenizer.
        texts: one per item; None checks nothing.
        name: of the backbone, for messages.

    Raises:
        SettingsError: all texts become nothing, or unknown pieces only.
    """
    written = [text for text in texts or () if text.strip()]
    sample = written[:: -(-len(written) // _TEXTS) or 1]
    if not sample:
        return
    rows = tokenizer(sample, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    pieces = sum(map(len, rows))
    unknown = sum(row.count(tokenizer.unk_token_id) for row in rows) if tokenizer.unk_token_id is not None else 0
    if pieces == unknown:
        raise SettingsError(
            f"backbone '{name}': its tokenizer turns none of the catalogue's texts into pieces that it knows, such as "
            f"'{sample[0][:40]}'; give a backbone whose tokenizer reads them, with all its vocabulary files"
        )
    if unknown > _MANY * pieces:
        _log.warning(
            "backbone '%s': %.0f %% of the pieces of the catalogue's texts are unknown to its tokenizer; a backbone for"
            " their language would read them",
            name,
            100 * unknown / pieces,
        )


@torch.no_grad()
def fit_table(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Give the model rows for tokens that were added to its tokenizer alone, such as a padding token.

    Raises:
        ArtifactError: the tokenizer's own pieces exceed the table, so it is the tokenizer of another model.
    """
    rows, added = model.get_input_embeddings().num_embeddings, tokenizer.get_added_vocab()
    numbers = tokenizer.get_vocab()
    total = max(numbers.values(), default=-1) + 1
    if total <= rows:
        return
    own = max((number for piece, number in numbers.items() if piece not in added), default=-1) + 1
    if own > rows:
        raise ArtifactError(
            f"backbone '{name}': its tokenizer has {own:,} pieces, its table of embeddings {rows:,} rows, so they are "
            "of different models; copy both from one model"
        )
    _log.warning(
        "backbone '%s': its tokenizer has %d tokens beyond its table of embeddings; they get fresh rows",
        name,
        total - rows,
    )
    model.resize_token_embeddings(total, mean_resizing=False)
    for table in tables_of(model):
        fill_rows(table, rows, total)


def tables_of(model: PreTrainedModel) -> list[torch.Tensor]:
    """Return the weights of input embeddings and language head; one where they are tied."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())  # encoders have no head
    tables = [layer.weight for layer in layers if layer is not None]
    return list({id(table): table for table in tables}.values())


def embedding_scale(embedding: nn.Module) -> float:
    """Return the factor by which an embedding layer multiplies the rows of its table: √width in Gemma, else 1."""
    return float(getattr(embedding, "embed_scale", 1.0))


@torch.no_grad()
def fill_rows(table: torch.Tensor, n_known: int, total: int, seed: int = 0, spread: float = 0.1) -> None:
    """Set the rows from `n_known` on to the mean of those before, plus noise of `spread` standard deviations."""
    noise = torch.randn(total - n_known, table.shape[1], generator=torch.Generator().manual_seed(seed))
    std, mean = torch.std_mean(table[:n_known].float(), dim=0)
    table[n_known:total] = (mean + spread * std * noise.to(table.device)).to(table.dtype)


def name_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Let an encoder-decoder's configuration name the padding, end and start tokens that it leaves out.

    Raises:
        ArtifactError: its start token is beyond its table.
    """
    config, rows = model.config, model.get_input_embeddings().num_embeddings
    own = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    for setting, number in (*own.items(), ("decoder_start_token_id", tokenizer.pad_token_id)):
        if getattr(config, setting, None) is None:
            setattr(config, setting, number)
    if not 0 <= config.decoder_start_token_id < rows:
        raise ArtifactError(
            f"backbone '{name}': decoder_start_token_id is {config.decoder_start_token_id} in its config.json, but its "
            f"table of embeddings has {rows:,} rows; set it to the padding token's id, {tokenizer.pad_token_id}"
        )
    if config.eos_token_id != tokenizer.eos_token_id:
        _log.warning(
            "backbone '%s': its config.json ends texts with token %s, its tokenizer with %s; set eos_token_id there",
            name,
            config.eos_token_id,
            tokenizer.eos_token_id,
        )


# ----------------------------------------------------------------------------------------------------- positions


def positions_of(config: PretrainedConfig) -> int | None:
    """Return how many tokens a causal model can attend to: its positions, or a shorter attention window.

    None for encoder-decoders, whose positions are relative, and for models without such a limit.
    """
    if config.is_encoder_decoder:
        return None
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window"))
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    return min(known, default=None)

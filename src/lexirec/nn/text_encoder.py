"""A pretrained encoder of texts in front of a T5 decoder from scratch: BERT, MiniLM, MPNet, RoBERTa and the like.

It reads prompts in place of the T5 encoder. A learned linear layer and a norm bring its states to the decoder's width.
The tokenizer is the encoder's own; a prompt is read behind the token that the encoder expects in front (`[CLS]`), whose
state is dropped, and ends with the encoder's separator.

Shapes: `R` rows, `L` tokens, `D` features of the decoder, `W` features of the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase, T5Config
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.models.t5.modeling_t5 import T5LayerNorm

from lexirec.core.config import ModelName, Settings
from lexirec.core.errors import SettingsError
from lexirec.nn.backbone_fit import check_reads, fill_rows, fit_table, load_model, tables_of, with_padding
from lexirec.nn.backbone_folder import check_config, check_tokenizer_files
from lexirec.nn.depth import DepthSettings
from lexirec.nn.pretrained import SCRATCH, fetched, no_bars, no_reports
from lexirec.nn.t5_layers import in_groups

_HEADS = r"(^|\.)(pooler|cls|lm_head|head|decoder|predictions|vocab_\w+)\."
"""Weights of checkpoints beyond the encoder: of poolers and of heads that predict masked words."""
_FOLDER, _SETTINGS = "encoder", "settings.json"


class TextEncoderSettings(Settings):
    """Settings of a pretrained encoder in front of a scratch decoder."""

    name: ModelName
    """A folder or a hub name; environment variables are filled in (`"${MINILM}"`)."""
    training: Literal["full", "frozen"] = "full"
    """full: all weights are trained. frozen: they stay as they are, so items are encoded once per training, and only
    the projection of their states is learned."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Of the encoder's weights in full training, in place of that of `model.training`, with the same schedule."""


class EncoderChoice(DepthSettings):
    """Part of the settings of a backbone: which pretrained encoder it has, if any."""

    later: ClassVar[tuple[str, ...]] = (*DepthSettings.later, "encoder")
    encoder: TextEncoderSettings | None = None
    """A pretrained encoder that reads prompts of words in place of the scratch T5's, with its own tokenizer;
    `vocabulary_size` and `lower_case` have no effect then."""

    @model_validator(mode="after")
    def _decoder_is_from_scratch(self) -> Self:
        name = getattr(self, "name", SCRATCH)
        if self.encoder is not None and not name.startswith(SCRATCH):
            raise ValueError(f"backbone.encoder needs a decoder from scratch, but name is '{name}'; set {SCRATCH}tiny")
        return self


class TextEncoder(nn.Module):
    """An encoder, and the projection of its states into the decoder's width."""

    def __init__(
        self, model: Any, settings: TextEncoderSettings, tokenizer: PreTrainedTokenizerBase, config: T5Config
    ) -> None:
        """Hold a model.

        Args:
            model: an encoder of the transformers library.
            settings: its own.
            tokenizer: its own, for the token in front of a text.
            config: of the decoder, for its width and dropout.
        """
        super().__init__()
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # reads one state of each text; the decoder reads all
        self.model, self.settings = model, settings
        self.projection = nn.Linear(model.config.hidden_size, config.d_model)
        self.norm, self.dropout = T5LayerNorm(config.d_model), nn.Dropout(config.dropout_rate)
        self._begin: int | None = tokenizer.cls_token_id
        self._pad: int = tokenizer.pad_token_id
        self._freeze()

    @property
    def frozen(self) -> bool:
        """Whether the encoder's own weights stay as they are."""
        return self.settings.training == "frozen"

    @property
    def positions(self) -> int | None:
        """Most tokens of a prompt; None without a limit."""
        limit = positions_of(self.model)
        return None if limit is None else limit - (self._begin is not None)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder has no dropout in training either."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, ids_RL: Tensor, mask_RL: Tensor) -> Tensor:
        """Encode prompts that are padded on the right: (R, L, D)."""
        return self.project(self.states(ids_RL, mask_RL))

    def states(self, ids_RL: Tensor, mask_RL: Tensor) -> Tensor:
        """Return the encoder's own states (R, L, W) of prompts; a frozen one's do not depend on the training."""
        ids_RL = ids_RL.masked_fill(~mask_RL, self._pad)
        first = 0
        if self._begin is not None:
            first = 1
            ids_RL = functional.pad(ids_RL, (1, 0), value=self._begin)
            mask_RL = functional.pad(mask_RL, (1, 0), value=True)
        with torch.no_grad() if self.frozen else nullcontext():
            return in_groups(ids_RL, mask_RL, self._read)[:, first:]

    def _read(self, ids_GL: Tensor, mask_GL: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=ids_GL, attention_mask=mask_GL).last_hidden_state
        return states

    def project(self, states_RLW: Tensor) -> Tensor:
        """Bring the encoder's states to the decoder's width: (R, L, D)."""
        projected: Tensor = self.dropout(self.norm(self.projection(states_RLW.to(self.projection.weight.dtype))))
        return projected

    def check_length(self, tokens: int, setting: str) -> None:
        """Check that a prompt fits.

        Args:
            tokens: of the longest prompt.
            setting: what shortens it, for the message.

        Raises:
            SettingsError: it is longer than the encoder's positions.
        """
        if self.positions is not None and tokens > self.positions:
            raise SettingsError(
                f"prompts have up to {tokens:,} tokens, but the encoder '{self.settings.name}' reads at most "
                f"{self.positions:,}; lower {setting}"
            )

    @torch.no_grad()
    def add_rows(self, known: int, total: int, seed: int, spread: float) -> None:
        """Give tokens that were added to the tokenizer rows like those of the `known` ones (`backbone_fit`)."""
        if total > self.model.get_input_embeddings().num_embeddings:
            self.model.resize_token_embeddings(total, mean_resizing=False)
        for table in tables_of(self.model):
            fill_rows(table, known, total, seed, spread)
        self._freeze()

    def _freeze(self) -> None:
        if self.frozen:
            self.model.requires_grad_(False).eval()

    def save_configuration(self, folder: Path) -> None:
        """Write configuration and settings without weights below a backbone's folder, for `restore_text_encoder`."""
        self.model.config.save_pretrained(folder / _FOLDER)
        (folder / _FOLDER / _SETTINGS).write_text(self.settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


def positions_of(model: Any) -> int | None:
    """Return how many tokens an encoder can read, or None without a limit.

    Learned positions of RoBERTa and MPNet begin behind the number of the padding token.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def load_text_encoder(
    settings: TextEncoderSettings, tokenizer: PreTrainedTokenizerBase, config: T5Config, *, seed: int = 0
) -> TextEncoder:
    """Load a pretrained encoder in float32 on the CPU, with a fresh projection.

    Args:
        settings: of the encoder.
        tokenizer: from `load_encoder_tokenizer`.
        config: of the T5 behind it, which is told the tokenizer's padding, end and start tokens.
        seed: of the projection; the global random state is not changed.

    Raises:
        SettingsError: there is no such model, or it is no encoder.
        ArtifactError: its files cannot be read, are incomplete, or do not belong together.
    """
    _check_family(settings.name)
    with no_bars() if Path(settings.name).is_dir() else nullcontext():
        model = load_model(AutoModel, settings.name, beyond=_HEADS, dtype=torch.float32)
    fit_table(model, tokenizer, settings.name)
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    config.decoder_start_token_id = tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextEncoder(model, settings, tokenizer, config).eval()


def load_encoder_tokenizer(name: str, *, texts: Sequence[str] | None = None) -> PreTrainedTokenizerBase:
    """Load an encoder's tokenizer; where it has no end token, its separator ends a text.

    Raises:
        SettingsError: there is no such model, it is no encoder, or its tokenizer does not read the texts.
        ArtifactError: a file cannot be read.
    """
    _check_family(name)
    check_tokenizer_files(name)
    tokenizer = fetched(AutoTokenizer, name, "tokenizer", trust_remote_code=False)
    if tokenizer.eos_token is None and tokenizer.sep_token is not None:
        tokenizer.eos_token = tokenizer.sep_token
    check_reads(tokenizer, texts, name)
    return with_padding(tokenizer, name)


def restore_text_encoder(folder: Path, tokenizer: PreTrainedTokenizerBase, config: T5Config) -> TextEncoder | None:
    """Rebuild the encoder that `save_configuration` described, with random weights for the caller to overwrite.

    None where there is none below the backbone's folder.

    Raises:
        OSError, ValueError: the folder is incomplete or damaged.
    """
    folder = folder / _FOLDER
    if not folder.is_dir():
        return None
    values = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
    with no_reports(), torch.random.fork_rng(devices=[]):
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        return TextEncoder(model, TextEncoderSettings.model_validate(values), tokenizer, config).eval()


def _check_family(name: str) -> None:
    check_config(name)
    with no_reports():
        config = fetched(AutoConfig, name, "configuration", trust_remote_code=False)
    if config.is_encoder_decoder or config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise SettingsError(
            f"backbone.encoder.name is '{name}', of type '{config.model_type}'; give an encoder such as BERT, MPNet or "
            "RoBERTa (encoder-decoders of the T5 family are given as backbone.name)"
        )

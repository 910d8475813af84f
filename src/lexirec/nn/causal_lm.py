"""Causal language model backbone: load any stock one from a folder or the hub, or build one with random weights.

`load_causal_tokenizer` comes first, `load_causal` returns model and tokenizer, `t5.add_tokens` adds the tokens of
semantic IDs, `t5.save_backbone` writes a folder whose path `load_causal` accepts as a name. A checkpoint's generation
settings (sampling, penalties; spec section 8.1) are dropped on loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from lexirec.core.config import ModelName
from lexirec.core.errors import DataError, SettingsError
from lexirec.nn.backbone_fit import check_reads, fit_table, load_model, with_padding
from lexirec.nn.backbone_folder import check_config, check_tokenizer_files
from lexirec.nn.depth import DepthSettings, cut_depth
from lexirec.nn.families import check_causal
from lexirec.nn.hidden_dropout import hang_dropout, set_dropout
from lexirec.nn.pretrained import SCRATCH, configuration, fetched, no_bars, scratch_size, warn_of_sizes
from lexirec.nn.prompt_templates import PHRASES
from lexirec.nn.t5 import Backbone, save_configuration
from lexirec.nn.tokenizer import train_tokenizer, without_cache

CAUSAL_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"d_model": 64, "layers": 2, "heads": 4, "feed_forward": 192},
    "small": {"d_model": 256, "layers": 4, "heads": 4, "feed_forward": 768},
    "base": {"d_model": 512, "layers": 8, "heads": 8, "feed_forward": 1536},
}
"""Sizes of `scratch:NAME` models, Qwen2 with tied embeddings; two CPU cores can train small, a GPU base."""


class CausalBackboneSettings(DepthSettings):
    """Settings of a causal backbone: which model and, for `scratch:` models, its size."""

    kind: Literal["causal"] = "causal"
    name: ModelName = "scratch:small"
    """A local folder, a GGUF file, a hub name (any causal model; Qwen2, Qwen2.5, Qwen3, Llama, Gemma3 and GPT-2 are
    tested), or scratch:tiny, scratch:small, scratch:base for random weights and a tokenizer trained on the catalogue's
    text. The settings from `vocabulary_size` on affect scratch models only."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout of embeddings and of the outputs of attention and feed-forward layers, also in families without such a
    dropout; by default 0.1 for scratch models and 0 for pretrained ones, which were trained without."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention weights. 0 saves sampling the largest mask of a step."""
    vocabulary_size: int = Field(default=8192, ge=128)
    """Most pieces of the tokenizer; small catalogues yield fewer."""
    lower_case: bool = True
    """Let the tokenizer convert text to lower case."""
    d_model: int | None = Field(default=None, ge=1)
    """Width of the hidden states; by default that of the named size, as for the next three."""
    layers: int | None = Field(default=None, ge=1)
    """Number of layers."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads of every layer; d_model / heads must be an even number."""
    feed_forward: int | None = Field(default=None, ge=1)
    """Inner width of the feed-forward layers, which are gated."""

    @property
    def scratch(self) -> bool:
        """Whether the model starts from random weights."""
        return self.name.startswith(SCRATCH)

    @property
    def rate(self) -> float:
        """The dropout rate, with the default resolved."""
        return self.dropout if self.dropout is not None else 0.1 if self.scratch else 0.0


def load_causal(
    settings: CausalBackboneSettings | str,
    *,
    texts: Sequence[str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a pretrained causal model, or build one with random weights, in float32 on the CPU, in evaluation mode.

    Args:
        settings: The settings, or only the name.
        texts: The catalogue's texts, to train a scratch model's tokenizer on, and to see that another one reads them.
        tokenizer: The tokenizer, if it is already loaded.
        seed: Of the random weights; the global random state is not changed.

    Raises:
        SettingsError: the name is unknown, unavailable, or no causal language model that takes positions; its folder
            lacks a tokenizer or weights, or its tokenizer does not read the texts; or sizes do not fit.
        ArtifactError: the model's files cannot be read, are incomplete, or do not belong together.
        DataError: a scratch tokenizer is to be trained and there is no text.
    """
    settings = _as_settings(settings)
    tokenizer = tokenizer if tokenizer is not None else load_causal_tokenizer(settings, texts=texts)
    if settings.scratch:
        config = causal_scratch_config(settings, tokenizer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Qwen2ForCausalLM(config)
    else:
        model = _pretrained(settings)
        fit_table(model, with_padding(tokenizer, settings.name), settings.name)
    return Backbone(_settled(model), tokenizer)


def load_causal_tokenizer(
    settings: CausalBackboneSettings | str, *, texts: Sequence[str] | None = None
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a pretrained model, or train that of a scratch model on the catalogue's texts.

    A tokenizer without a padding token pads with its end token, as is usual; masks mark the padding, never the id.

    Raises:
        SettingsError: the name is unknown, unavailable, or no causal language model; its folder lacks a tokenizer, or
            that has no end token or does not read the texts.
        DataError: a scratch tokenizer is to be trained and there is no text.
    """
    settings = _as_settings(settings)
    if not settings.scratch:
        causal_config(settings.name)
        check_tokenizer_files(settings.name)
        loaded = fetched(_Tokenizers, settings.name, "tokenizer")
        check_reads(loaded, texts, settings.name)
        return with_padding(loaded, settings.name)
    scratch_size(settings.name, CAUSAL_SIZES)
    if texts is None:
        raise DataError(f"backbone '{settings.name}' trains its tokenizer on the catalogue's text; give texts")
    size = settings.vocabulary_size
    return train_tokenizer(texts, vocabulary_size=size, lower_case=settings.lower_case, phrases=PHRASES)


def causal_scratch_config(settings: CausalBackboneSettings, tokenizer: PreTrainedTokenizerBase) -> Qwen2Config:
    """Return the Qwen2 configuration of a scratch model with that tokenizer.

    Raises:
        SettingsError: no such size, or d_model / heads is no even number, which rotary positions need.
    """
    defaults = scratch_size(settings.name, CAUSAL_SIZES)
    sizes = defaults | settings.model_dump(include=set(defaults), exclude_none=True)
    if sizes["d_model"] % (2 * sizes["heads"]):
        raise SettingsError(
            f"backbone.heads is {sizes['heads']}, which does not divide d_model {sizes['d_model']} into even parts;"
            " give a number of heads for which d_model / heads is even"
        )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=sizes["d_model"],
        intermediate_size=sizes["feed_forward"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["heads"],
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return set_dropout(config, settings.rate, settings.attention_dropout)


def save_causal(backbone: Backbone, folder: Path) -> None:
    """Write tokenizer and model configuration without weights, for recommenders that save all weights in one file."""
    save_configuration(backbone, folder)


def restore_causal(folder: Path) -> Backbone:
    """Rebuild the model that `save_causal` described, with random weights for the caller to overwrite.

    Raises:
        OSError, ValueError: the folder is incomplete or damaged.
    """
    with no_bars():
        config = AutoConfig.from_pretrained(folder)
        tokenizer = without_cache(_Tokenizers.from_pretrained(str(folder)))
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return Backbone(_settled(model), with_padding(tokenizer, str(folder)))


def _pretrained(settings: CausalBackboneSettings) -> PreTrainedModel:
    config = set_dropout(causal_config(settings.name), settings.rate, settings.attention_dropout)
    config = cut_depth(config, settings.keep_layers, settings.name)
    warn_of_sizes(settings, set(CAUSAL_SIZES["tiny"]))
    # explicit, since the default is the checkpoint's own type, half precision for many
    kept = {"config": config, "dtype": torch.float32, "keep_layers": settings.keep_layers}
    with no_bars() if Path(settings.name).expanduser().is_dir() else nullcontext():  # downloads show their progress
        return load_model(AutoModelForCausalLM, settings.name, **kept)


def causal_config(name: str) -> PretrainedConfig:
    """Return the configuration of a pretrained causal model.

    Raises:
        SettingsError: the name is unknown, unavailable, or no causal language model.
        ArtifactError: it cannot be read.
    """
    check_config(name)
    config = configuration(name)
    check_causal(config, name)
    return config


class _Tokenizers:
    """Tokenizer loader: AutoTokenizer, except for folders whose `tokenizer.json` is complete.

    For some families (Qwen2) AutoTokenizer replaces the rules of a foreign tokenizer by the family's own. A folder that
    declares no family's tokenizer class is therefore read as a plain fast tokenizer.
    """

    @staticmethod
    def from_pretrained(name: str, **gguf: str) -> PreTrainedTokenizerBase:
        declared = None if gguf else get_tokenizer_config(name).get("tokenizer_class")
        if declared in ("TokenizersBackend", "PreTrainedTokenizerFast"):
            return PreTrainedTokenizerFast.from_pretrained(name)
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False, **gguf)


def _settled(model: PreTrainedModel) -> PreTrainedModel:
    """Attach dropout hooks, reset the generation settings of the checkpoint, and switch to evaluation mode."""
    hang_dropout(model)
    if model.can_generate():
        ends = {name: getattr(model.config, name, None) for name in ("eos_token_id", "pad_token_id", "bos_token_id")}
        model.generation_config = GenerationConfig(**ends)
    return model.eval()


def _as_settings(settings: CausalBackboneSettings | str) -> CausalBackboneSettings:
    return CausalBackboneSettings(name=settings) if isinstance(settings, str) else settings

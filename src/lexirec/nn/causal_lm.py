"""The causal language model below a recommender: any stock one from a folder or the hub, or a small one from nothing.

`load_causal_tokenizer` comes first, `load_causal` gives model and tokenizer, `backbone.add_tokens` adds the tokens of
semantic IDs, `backbone.save_backbone` writes a folder that `load_causal` takes as a name. Whatever a checkpoint says
about generation (sampling, penalties; spec section 8.1) is left behind where it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
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
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from lexirec.core.config import Settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.nn.pretrained import SCRATCH, fetched, no_bars, scratch_size
from lexirec.nn.prompt_templates import PHRASES
from lexirec.nn.t5 import Backbone, save_configuration
from lexirec.nn.tokenizer import train_tokenizer

CAUSAL_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"d_model": 64, "layers": 2, "heads": 4, "feed_forward": 192},
    "small": {"d_model": 256, "layers": 4, "heads": 4, "feed_forward": 768},
    "base": {"d_model": 512, "layers": 8, "heads": 8, "feed_forward": 1536},
}
"""What `scratch:NAME` builds, as a Qwen2 with tied embeddings; two CPU cores train small, a GPU base."""

_OWN_DROPOUT = ("hidden_dropout", "resid_pdrop", "embd_pdrop", "resid_dropout", "residual_dropout")
_ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop")
_HOOKED = "lexirec_dropout"
_log = logging.getLogger(__name__)


class CausalBackboneSettings(Settings):
    """Which causal language model, and for `scratch:` models how large."""

    kind: Literal["causal"] = "causal"
    name: str = "scratch:small"
    """A local folder, a hub name (any causal model; Qwen2, Qwen2.5, Qwen3 and Llama are tested), or scratch:tiny,
    scratch:small, scratch:base for random weights and a tokenizer of the catalogue's own text. The settings from
    `vocabulary_size` on matter for scratch models only."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout of embeddings and of what attention and feed-forward layers add, in families that know none, too; by
    default 0.1 for scratch models and none for pretrained ones, which have learned without."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention weights. 0 saves drawing the largest of all masks."""
    vocabulary_size: int = Field(default=8192, ge=128)
    """The most pieces of the tokenizer; small catalogues give fewer."""
    lower_case: bool = True
    """Whether the tokenizer folds case."""
    d_model: int | None = Field(default=None, ge=1)
    """Width of the hidden states; by default what the size says, as are the next three."""
    layers: int | None = Field(default=None, ge=1)
    """Layers."""
    heads: int | None = Field(default=None, ge=1)
    """Attention heads of every layer; they divide d_model into even parts."""
    feed_forward: int | None = Field(default=None, ge=1)
    """Inner width of the feed-forward layers, which are gated."""

    @property
    def scratch(self) -> bool:
        """Whether the model starts from random weights."""
        return self.name.startswith(SCRATCH)

    @property
    def rate(self) -> float:
        """The dropout that is meant."""
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
        texts: The catalogue's texts, to train a scratch model's tokenizer on.
        tokenizer: The tokenizer, if there is one already.
        seed: Of the random weights; the global random state is left alone.

    Raises:
        SettingsError: the name is unknown, not to be had, or no causal language model; or sizes do not fit.
        ArtifactError: what has that name cannot be read.
        DataError: a scratch tokenizer is wanted and there is no text.
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
    return Backbone(_settled(model), tokenizer)


def load_causal_tokenizer(
    settings: CausalBackboneSettings | str, *, texts: Sequence[str] | None = None
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a pretrained model, or train that of a scratch model on the catalogue's texts.

    A tokenizer without a padding token pads with its end, as is usual; masks say what is padding, never the id.

    Raises:
        SettingsError: the name is unknown, not to be had, or no causal language model; or the tokenizer has no end.
        DataError: a scratch tokenizer is wanted and there is no text.
    """
    settings = _as_settings(settings)
    if not settings.scratch:
        _causal_config(settings.name)
        return _with_padding(fetched(_Tokenizers, settings.name, "tokenizer"), settings.name)
    scratch_size(settings.name, CAUSAL_SIZES)
    if texts is None:
        raise DataError(f"backbone '{settings.name}' trains its tokenizer on the catalogue's text, but none was given")
    size = settings.vocabulary_size
    return train_tokenizer(texts, vocabulary_size=size, lower_case=settings.lower_case, phrases=PHRASES)


def causal_scratch_config(settings: CausalBackboneSettings, tokenizer: PreTrainedTokenizerBase) -> Qwen2Config:
    """Return the Qwen2 configuration of a scratch model for that tokenizer.

    Raises:
        SettingsError: no such size, or heads that do not divide the width into even parts (rotary positions).
    """
    known = scratch_size(settings.name, CAUSAL_SIZES)
    sizes = known | settings.model_dump(include=set(known), exclude_none=True)
    if sizes["d_model"] % (2 * sizes["heads"]):
        raise SettingsError(
            f"backbone.heads is {sizes['heads']}, which does not divide d_model {sizes['d_model']} into even parts;"
            " give a number of heads that does"
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
    return _with_dropout(config, settings)


def save_causal(backbone: Backbone, folder: Path) -> None:
    """Write tokenizer and model configuration without weights, for a folder that keeps those elsewhere."""
    save_configuration(backbone, folder)


def restore_causal(folder: Path) -> Backbone:
    """Build what `save_causal` described; the weights are fresh and wait for those that were kept elsewhere.

    Raises:
        OSError, ValueError: the folder is incomplete or damaged.
    """
    with no_bars():
        config = AutoConfig.from_pretrained(folder)
        tokenizer = _Tokenizers.from_pretrained(str(folder))
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return Backbone(_settled(model), _with_padding(tokenizer, str(folder)))


def _pretrained(settings: CausalBackboneSettings) -> PreTrainedModel:
    config = _with_dropout(_causal_config(settings.name), settings)
    given = settings.model_dump(include=set(CAUSAL_SIZES["tiny"]), exclude_none=True)
    if given:
        _log.warning(
            "backbone '%s' has sizes of its own; these settings do nothing: %s", settings.name, ", ".join(given)
        )
    # The dtype is said because the default is the checkpoint's own, half precision for many.
    with no_bars() if Path(settings.name).expanduser().is_dir() else nullcontext():  # downloads keep theirs
        return fetched(AutoModelForCausalLM, settings.name, "model", config=config, dtype=torch.float32)


def _causal_config(name: str) -> PretrainedConfig:
    config = fetched(AutoConfig, name, "configuration")
    kind = config.model_type
    # Encoders such as BERT stand in the list of causal models, too, but look ahead unless they are told not to.
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise SettingsError(
            f"backbone '{name}' is of type '{kind}'; a causal language model is needed (such as qwen2, qwen3, llama)"
        )
    return config


class _Tokenizers:
    """AutoTokenizer, which for some families (Qwen2) puts its own rules in the place of a tokenizer of another make.

    A folder that names no family's tokenizer class has everything in `tokenizer.json`, and that is what it means.
    """

    @staticmethod
    def from_pretrained(name: str) -> PreTrainedTokenizerBase:
        declared = get_tokenizer_config(name).get("tokenizer_class")
        generic = declared in ("TokenizersBackend", "PreTrainedTokenizerFast")
        return (PreTrainedTokenizerFast if generic else AutoTokenizer).from_pretrained(name)


def _with_padding(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    if tokenizer.eos_token is None:
        raise SettingsError(
            f"backbone '{name}': its tokenizer has no end-of-text token; set eos_token in its tokenizer_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _with_dropout(config: Any, settings: CausalBackboneSettings) -> Any:
    """Write the dropout into the family's own settings and, where it has none for hidden states, into ours."""
    own = [name for name in _OWN_DROPOUT if hasattr(config, name)]
    for name in own:
        setattr(config, name, settings.rate)
    for name in _ATTENTION_DROPOUT:
        if hasattr(config, name):
            setattr(config, name, settings.attention_dropout)
    setattr(config, _HOOKED, 0.0 if own else settings.rate)
    return config


def _settled(model: PreTrainedModel) -> PreTrainedModel:
    """Put the model into evaluation mode, hang up dropout and take away what its files say about generation."""
    rate = float(getattr(model.config, _HOOKED, 0.0))
    if rate:
        _hang_dropout(model, rate)
    if model.can_generate():
        ends = {name: getattr(model.config, name, None) for name in ("eos_token_id", "pad_token_id", "bos_token_id")}
        model.generation_config = GenerationConfig(**ends)
    return model.eval()


def _hang_dropout(model: PreTrainedModel, rate: float) -> None:
    """Drop parts of the embeddings and of what every layer's attention and feed-forward part give."""
    hook = _DropsHidden(rate)
    model.get_input_embeddings().register_forward_hook(hook)
    for module in list(model.modules()):
        for part in ("self_attn", "mlp"):
            if isinstance(getattr(module, part, None), nn.Module):
                getattr(module, part).register_forward_hook(hook)


class _DropsHidden:
    """A forward hook: dropout on a module's (first) output in training; stock Qwen and Llama models have none."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, module: nn.Module, _: Any, output: Any) -> Any:
        if not module.training:
            return None
        if isinstance(output, Tensor):
            return nn.functional.dropout(output, self.rate)
        return (nn.functional.dropout(output[0], self.rate), *output[1:])


def _as_settings(settings: CausalBackboneSettings | str) -> CausalBackboneSettings:
    return CausalBackboneSettings(name=settings) if isinstance(settings, str) else settings

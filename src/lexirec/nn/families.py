"""Which kinds of pretrained models can serve as backbones, and in one line why another kind cannot."""

from __future__ import annotations

from inspect import signature
from typing import Any

from transformers import MODEL_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from lexirec.core.errors import SettingsError

T5_FAMILY = ("t5", "mt5")
"""Accepted encoder-decoders: those with one relative position bias per stack, computed in its first layer."""

CAUSAL = "give a causal language model (such as qwen2, qwen3, llama)"
ENCODER_DECODER = f"give an encoder-decoder of the T5 family ({', '.join(T5_FAMILY)})"

_MERGED = ("t5gemma2",)
"""Encoder-decoders whose decoder has one attention over its own tokens and the encoder's together."""


def check_causal(config: Any, name: str) -> None:
    """Check that a configuration is that of a causal language model over text that takes positions.

    Raises:
        SettingsError: it is not.
    """
    kind = config.model_type
    # encoders such as BERT are listed as causal models, too, but attend to later tokens unless configured otherwise
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if not causal or config.is_encoder_decoder or is_multimodal(config):
        raise SettingsError(f"backbone '{name}' is of type '{kind}'; {CAUSAL}{_why(config)}")
    base = MODEL_MAPPING.get(type(config), None)
    without = base is not None and "position_ids" not in signature(base.forward).parameters
    if without or getattr(config, "alibi", False):
        raise SettingsError(
            f"backbone '{name}' is of type '{kind}', whose model takes no positions, which beams side by side need; "
            "give one with rotary or learned positions (such as qwen2, qwen3, llama)"
        )


def check_encoder_decoder(config: Any, name: str) -> None:
    """Check that a configuration is that of an encoder-decoder of the T5 family.

    Raises:
        SettingsError: it is not.
    """
    if config.model_type not in T5_FAMILY:
        raise SettingsError(f"backbone '{name}' is of type '{config.model_type}'; {ENCODER_DECODER}{_why(config)}")


def is_multimodal(config: Any) -> bool:
    """Return whether a configuration describes a language model as one part among others, such as of pictures."""
    return any(getattr(config, part, None) is not None for part in ("text_config", "vision_config", "audio_config"))


def _why(config: Any) -> str:
    """Return what is wrong with a model, to end a message with; empty where its type says it all."""
    kind = config.model_type
    if kind in _MERGED:
        return (
            ": this one merges self- and cross-attention, so that prompts have no keys and values of their own to share"
            " between beams"
        )
    if is_multimodal(config):
        return (
            ": this one reads pictures or sound, too; save its language model alone (model.language_model, with "
            "save_pretrained) and give that folder"
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_encoder_decoder:
        return ": this one is an encoder, which cannot write identifiers; it serves for item vectors"
    return ""

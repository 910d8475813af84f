"""Dropout of hidden states for causal models whose family has none (Qwen, Llama): forward hooks on the stock layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

_OWN_DROPOUT = ("hidden_dropout", "resid_pdrop", "embd_pdrop", "resid_dropout", "residual_dropout")
_ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop")
_HOOKED = "lexirec_dropout"


def set_dropout(config: Any, rate: float, attention_rate: float) -> Any:
    """Set the dropout in the family's own configuration or, where it has none for hidden states, in ours."""
    own = [name for name in _OWN_DROPOUT if hasattr(config, name)]
    for name in own:
        setattr(config, name, rate)
    for name in _ATTENTION_DROPOUT:
        if hasattr(config, name):
            setattr(config, name, attention_rate)
    setattr(config, _HOOKED, 0.0 if own else rate)
    return config


def hang_dropout(model: PreTrainedModel) -> None:
    """Attach the dropout that a configuration asks for to the embeddings and to every attention and feed-forward layer.

    It acts on their outputs, in training.
    """
    rate = float(getattr(model.config, _HOOKED, 0.0))
    if not rate:
        return
    hook = _DropsHidden(rate)
    model.get_input_embeddings().register_forward_hook(hook)
    for module in list(model.modules()):
        for part in ("self_attn", "mlp"):
            if isinstance(getattr(module, part, None), nn.Module):
                getattr(module, part).register_forward_hook(hook)


class _DropsHidden:
    """Forward hook: dropout on a module's (first) output in training, which stock Qwen and Llama models lack."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, module: nn.Module, _: Any, output: Any) -> Any:
        if not module.training:
            return None
        if isinstance(output, Tensor):
            return nn.functional.dropout(output, self.rate)
        return (nn.functional.dropout(output[0], self.rate), *output[1:])

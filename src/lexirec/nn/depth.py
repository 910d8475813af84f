"""Depth of pretrained backbones: their first layers alone, which smaller machines can train.

Only configurations are cut; loading then leaves out the weights of the other layers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.errors import SettingsError
from lexirec.core.renamed import StoredAsBefore


class DepthSettings(StoredAsBefore, Settings):
    """How many layers of a pretrained backbone are used."""

    later: ClassVar[tuple[str, ...]] = ("keep_layers",)
    keep_layers: int | None = Field(default=None, ge=1)
    """Use only the first layers of a pretrained backbone, so many (of encoder and decoder each); by default all.
    `scratch:` models take `layers` instead."""

    @model_validator(mode="after")
    def _cuts_what_is_there(self) -> Self:
        if self.keep_layers is not None and getattr(self, "scratch", False):
            raise ValueError(
                f"keep_layers is {self.keep_layers}, but a scratch model starts from random weights; set layers instead"
            )
        return self


def cut_depth(config: Any, keep: int | None, name: str) -> Any:
    """Let a configuration describe its first `keep` layers, in place, and return it; None keeps all.

    Lists with a value for each layer (such as `layer_types`) are cut with it. Of an encoder-decoder both stacks are
    cut; a stack that has fewer layers keeps them.

    Args:
        config: of a causal model or an encoder-decoder.
        keep: number of layers.
        name: of the backbone, for messages.

    Raises:
        SettingsError: the model has fewer layers, or its family's configuration cannot be cut.
    """
    if keep is None:
        return config
    depths = {each: getattr(config, each) for each in ("num_hidden_layers", "num_decoder_layers") if _has(config, each)}
    deepest = max(depths.values(), default=0)
    if keep > deepest:
        raise SettingsError(
            f"backbone.keep_layers is {keep}, but '{name}' has {deepest} layers; give at most {deepest}"
        )
    if config.is_encoder_decoder:
        for setting, depth in depths.items():
            setattr(config, setting, min(keep, depth))
        return config
    for setting, values in vars(config).items():
        if isinstance(values, (list, tuple)) and len(values) == deepest:
            setattr(config, setting, values[:keep])
    config.num_hidden_layers = keep
    try:
        type(config).from_dict(config.to_dict())  # as it will be when a saved recommender is loaded
    except Exception as error:  # families check their settings by errors of any type
        raise SettingsError(
            f"backbone.keep_layers is {keep}, but models of type '{config.model_type}' cannot be cut; leave it out"
        ) from error
    return config


def _has(config: Any, setting: str) -> bool:
    return isinstance(getattr(config, setting, None), int)

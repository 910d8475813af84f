"""Sizes of backbones, from their configuration or from a table of named ones, and the weights that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from transformers import AutoConfig

from lexirec.core.errors import SettingsError
from lexirec.nn.backbone_folder import check_config, local_files
from lexirec.nn.causal_lm import CAUSAL_SIZES, CausalBackboneSettings
from lexirec.nn.pretrained import configuration, no_reports, scratch_size
from lexirec.nn.t5 import SIZES, BackboneSettings, scratch_config


@dataclass(frozen=True)
class Shape:
    """Sizes of a backbone.

    Attributes:
        name: of the backbone.
        source: where the sizes are from.
        layers: layers of the decoder (of a causal model: all).
        encoder_layers: layers of the encoder; 0 for causal models.
        width: of the hidden states.
        heads, key_heads, head_size: of attention; fewer key heads than heads where they are shared.
        feed_forward: inner width of the feed-forward layers.
        gated: whether these have three matrices instead of two.
        vocabulary: rows of the table of embeddings.
        tied: whether the output layer is that table.
        biases: whether queries, keys and values have biases.
        head_norms: whether every head's queries and keys are normalised.
    """

    name: str
    source: str
    layers: int
    width: int
    heads: int
    key_heads: int
    head_size: int
    feed_forward: int
    vocabulary: int
    encoder_layers: int = 0
    gated: bool = False
    tied: bool = True
    biases: bool = False
    head_norms: bool = False

    @property
    def family(self) -> Literal["encoder-decoder", "causal"]:
        """Which of the two families it is of."""
        return "encoder-decoder" if self.encoder_layers else "causal"

    @property
    def inner(self) -> int:
        """Width of all heads' queries together."""
        return self.heads * self.head_size

    @property
    def attention(self) -> int:
        """Weights of one attention layer."""
        keys = self.key_heads * self.head_size
        biases = self.inner + 2 * keys if self.biases else 0
        return 2 * self.width * self.inner + 2 * self.width * keys + biases + 2 * self.head_size * self.head_norms

    @property
    def keys_and_values(self) -> int:
        """Those weights of one attention layer that make keys and values."""
        return 2 * self.width * self.key_heads * self.head_size

    @property
    def block(self) -> int:
        """Weights of one layer without cross-attention: attention, feed-forward layers and their norms."""
        return self.attention + (3 if self.gated else 2) * self.width * self.feed_forward + 2 * self.width

    @property
    def encoder(self) -> int:
        """Weights of the encoder, without its embeddings."""
        biases = 32 * self.heads  # T5's relative positions
        return self.encoder_layers * self.block + (self.width + biases if self.encoder_layers else 0)

    @property
    def decoder(self) -> int:
        """Weights of the decoder, cross-attention included, without embeddings and output layer."""
        cross = self.layers * (self.attention + self.width) + 32 * self.heads if self.encoder_layers else 0
        return self.layers * self.block + cross + self.width

    @property
    def table(self) -> int:
        """Weights of the table of embeddings."""
        return self.vocabulary * self.width

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.encoder + self.decoder + self.table * (1 if self.tied else 2)

    def activation_bytes(self, bytes_of_a_number: int = 2) -> float:
        """Bytes that training keeps of one token in one layer.

        Inputs of matrices, norms in float32, queries, keys, values, the context, and what lies between the feed-forward
        matrices. For Qwen3-0.6B in bfloat16 it gives 2.0 MiB a token over all layers; 2.2 MiB were measured by others.
        """
        between = (4 if self.gated else 2) * self.feed_forward
        keys = self.key_heads * self.head_size
        return float(bytes_of_a_number * (12 * self.width + between + 4 * self.inner + 4 * keys))


def _qwen(name: str, layers: int, width: int, heads: int, key_heads: int, feed_forward: int, **more: Any) -> Shape:
    head_size = more.pop("head_size", width // heads)
    return Shape(
        name, "shipped table", layers, width, heads, key_heads, head_size, feed_forward, 151_936, gated=True, **more
    )


NAMED: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("google-t5/t5-small", "shipped table", 6, 512, 8, 8, 64, 2048, 32_128, encoder_layers=6),
        _qwen("Qwen/Qwen2.5-0.5B", 24, 896, 14, 2, 4864, biases=True),
        _qwen("Qwen/Qwen2.5-1.5B", 28, 1536, 12, 2, 8960, biases=True),
        _qwen("Qwen/Qwen3-0.6B-Base", 28, 1024, 16, 8, 3072, head_size=128, head_norms=True),
        Shape("huggyllama/llama-7b", "shipped table", 32, 4096, 32, 32, 128, 11_008, 32_000, gated=True, tied=False),
    )
}
"""Backbones of the papers' recipes, by hub name: facts of their configurations, so that planning needs no network."""


def shape_of(backbone: BackboneSettings | CausalBackboneSettings, pieces: int | None = None) -> Shape:
    """Return the sizes of a backbone.

    Args:
        backbone: the settings; a folder, a GGUF file or a name of the hub's local cache is read, a name of the table
            looked up.
        pieces: pieces of a scratch model's tokenizer; by default as many as it may have.

    Raises:
        SettingsError: its configuration is neither at hand nor in the table, or has fewer layers than are to be kept.
    """
    if backbone.scratch:
        return _scratch(backbone, pieces or backbone.vocabulary_size)
    return _cut(_pretrained(backbone), backbone.keep_layers)


def _cut(shape: Shape, keep: int | None) -> Shape:
    """Return the sizes of the first layers, as `nn.depth.cut_depth` keeps them."""
    deepest = max(shape.layers, shape.encoder_layers)
    if keep is None:
        return shape
    if keep > deepest:
        raise SettingsError(
            f"backbone.keep_layers is {keep}, but '{shape.name}' has {deepest} layers; give at most {deepest}"
        )
    return replace(shape, layers=min(keep, shape.layers), encoder_layers=min(keep, shape.encoder_layers))


def _pretrained(backbone: BackboneSettings | CausalBackboneSettings) -> Shape:
    if local_files(backbone.name) is not None:
        check_config(backbone.name)
        return shape_of_config(configuration(backbone.name), backbone.name, "its own files")
    try:
        with no_reports():
            config = AutoConfig.from_pretrained(backbone.name, local_files_only=True)
    except (OSError, ValueError):
        known = NAMED.get(backbone.name)
        if known is None:
            raise SettingsError(
                f"backbone '{backbone.name}': its configuration is not on this machine, so its cost cannot be planned; "
                f"load it once, or plan with one of {', '.join(NAMED)}"
            ) from None
        return known
    return shape_of_config(config, backbone.name, "its config.json in the hub's cache")


def shape_of_config(config: Any, name: str, source: str) -> Shape:
    """Return the sizes in a configuration of `transformers`."""
    heads, width = config.num_attention_heads, config.hidden_size
    if config.is_encoder_decoder:
        return Shape(
            name,
            source,
            config.num_decoder_layers,
            width,
            heads,
            heads,
            config.d_kv,
            config.d_ff,
            config.vocab_size,
            encoder_layers=config.num_layers,
            gated=bool(getattr(config, "is_gated_act", False)),
            tied=bool(config.tie_word_embeddings),
        )
    head_size = getattr(config, "head_dim", None) or width // heads
    between = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    kind = config.model_type
    return Shape(
        name,
        source,
        config.num_hidden_layers,
        width,
        heads,
        getattr(config, "num_key_value_heads", None) or heads,
        head_size,
        between,
        config.vocab_size,
        gated=kind != "gpt2",
        tied=bool(config.tie_word_embeddings),
        biases=kind == "qwen2" or bool(getattr(config, "attention_bias", False)),
        head_norms=kind.startswith("qwen3"),
    )


def _scratch(backbone: BackboneSettings | CausalBackboneSettings, pieces: int) -> Shape:
    if isinstance(backbone, BackboneSettings):
        scratch_size(backbone.name, SIZES)
        shape = shape_of_config(scratch_config(backbone, pieces), backbone.name, "the experiment")
        return replace(shape, gated=backbone.activation == "gated-gelu")
    defaults = scratch_size(backbone.name, CAUSAL_SIZES)
    sizes = defaults | backbone.model_dump(include=set(defaults), exclude_none=True)
    heads, width = sizes["heads"], sizes["d_model"]
    return Shape(
        backbone.name,
        "the experiment",
        sizes["layers"],
        width,
        heads,
        heads,
        width // heads,
        sizes["feed_forward"],
        pieces,
        gated=True,
        biases=True,
    )

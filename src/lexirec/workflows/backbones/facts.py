"""What a pretrained backbone is: shape, table, tokenizer, precision, settings that are left behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedTokenizerBase

from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import TSRecPromptSettings
from lexirec.nn.backbone_fit import embedding_scale, positions_of
from lexirec.nn.backbone_folder import check_config, local_folder
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal, load_causal_tokenizer
from lexirec.nn.gguf_file import gguf_file
from lexirec.nn.pretrained import configuration, count_parameters, no_reports
from lexirec.nn.t5 import Backbone, BackboneSettings, load_backbone, load_tokenizer

Kind = Literal["causal", "encoder-decoder"]
IDENTIFIER_TOKENS = 4
"""Tokens of an identifier, as checks and probes assume: three levels and one that tells colliding items apart."""

_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of families that cap or scale logits (Gemma 2, Cohere, Granite)."""
_BOOKKEEPING = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version"}
_BOOKKEEPING |= {"_from_model_config", "use_cache", "output_attentions", "output_hidden_states"}


@dataclass(frozen=True)
class BackboneFacts:
    """What a backbone is.

    Attributes:
        name: as given.
        source: folder, GGUF file or hub.
        kind: causal or encoder-decoder, as in the setting `backbone.kind`.
        family: the model type, such as `qwen3`.
        architecture: its class in transformers.
        layers: layers in use, of each stack; fewer than `layers_stored` with `keep_layers`.
        layers_stored: layers of the stored model.
        width: features of a hidden state.
        heads: attention heads of a layer.
        key_value_heads: of them, those with keys and values of their own.
        head_dim: features of a head.
        feed_forward: inner width of the feed-forward layers.
        positions: tokens that prompt and answer may take together; None where there is no limit.
        parameters: number of weights in use, tied ones once.
        rows: rows of the table of embeddings.
        pieces: pieces of the tokenizer.
        tied: whether the language head is the table.
        embedding_scale: factor on looked-up rows (√width in Gemma).
        begins: whether the tokenizer itself puts its beginning token before texts; prompts begin with it either way.
        ends: end, beginning, padding and unknown tokens by name, each with its id.
        stored_as: number of stored tensors by type.
        generation: the checkpoint's generation settings, which are not used.
        logits: what the model itself does to its logits behind the language head, which is left out here, too.
        prompt_limit: in words, where positions cut prompts; empty where they do not.
    """

    name: str
    source: str
    kind: Kind
    family: str
    architecture: str
    layers: int
    layers_stored: int
    width: int
    heads: int
    key_value_heads: int
    head_dim: int
    feed_forward: int
    positions: int | None
    parameters: int
    rows: int
    pieces: int
    tied: bool
    embedding_scale: float
    begins: bool
    ends: dict[str, tuple[str, int]]
    stored_as: dict[str, int]
    generation: dict[str, Any]
    logits: dict[str, Any]
    prompt_limit: str = ""

    @property
    def spare_rows(self) -> int:
        """Rows of the table beyond the tokenizer's pieces, which added tokens take first."""
        return self.rows - self.pieces


def load_facts(name: str, keep_layers: int | None = None) -> tuple[BackboneFacts, Backbone]:
    """Load a backbone as training would, and say what it is.

    Args:
        name: a folder, a GGUF file or a hub name.
        keep_layers: depth to cut it to; None for all layers.

    Raises:
        SettingsError: it cannot serve; the message says why.
        ArtifactError: its files cannot be read, are incomplete, or do not belong together.
    """
    check_config(name)
    stored = configuration(name)
    if stored.is_encoder_decoder:
        tokenizer = load_tokenizer(BackboneSettings(name=name))
        pieces, limit = len(tokenizer), ""
        backbone = load_backbone(BackboneSettings(name=name, keep_layers=keep_layers), tokenizer=tokenizer)
    else:
        tokenizer = load_causal_tokenizer(name)
        pieces, limit = len(tokenizer), _prompt_limit(tokenizer, positions_of(stored))
        backbone = load_causal(CausalBackboneSettings(name=name, keep_layers=keep_layers), tokenizer=tokenizer)
    return _facts(name, stored, backbone, pieces, limit), backbone


def _facts(name: str, stored: Any, backbone: Backbone, pieces: int, limit: str) -> BackboneFacts:
    model, config = backbone.model, backbone.model.config
    heads, embedding = int(config.num_attention_heads), model.get_input_embeddings()
    kind: Kind = "encoder-decoder" if config.is_encoder_decoder else "causal"
    inner = [getattr(config, each, None) for each in ("intermediate_size", "d_ff", "n_inner", "ffn_dim")]
    return BackboneFacts(
        name=name,
        source="GGUF file" if gguf_file(name) else "folder" if local_folder(name) else "hub",
        kind=kind,
        family=config.model_type,
        architecture=type(model).__name__,
        layers=config.num_hidden_layers,
        layers_stored=stored.num_hidden_layers,
        width=config.hidden_size,
        heads=heads,
        key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // heads,
        feed_forward=next((size for size in inner if size is not None), 4 * config.hidden_size),
        positions=positions_of(config),
        parameters=count_parameters(model),
        rows=embedding.num_embeddings,
        pieces=pieces,
        tied=model.get_output_embeddings().weight is embedding.weight,
        embedding_scale=embedding_scale(embedding),
        begins=_begins(backbone.tokenizer),
        ends=_ends(backbone.tokenizer),
        stored_as=_stored_as(name, stored),
        generation=_generation(name),
        logits={each: getattr(config, each) for each in _LOGITS if getattr(config, each, None) not in (None, 1.0)},
        prompt_limit=limit,
    )


def _prompt_limit(tokenizer: PreTrainedTokenizerBase, positions: int | None) -> str:
    """Check that prompts as they are by default fit into the positions; say where these cut them."""
    shortest = np.zeros((1, IDENTIFIER_TOKENS), dtype=np.int32)
    builder = PromptBuilder(tokenizer, shortest, TSRecPromptSettings(frame="plain"), positions)
    return builder.limit_in_words if builder.cut_by_positions else ""


def _begins(tokenizer: PreTrainedTokenizerBase) -> bool:
    ids = tokenizer("a")["input_ids"]
    return bool(tokenizer.bos_token_id is not None and ids and ids[0] == tokenizer.bos_token_id)


def _ends(tokenizer: PreTrainedTokenizerBase) -> dict[str, tuple[str, int]]:
    found = {name: getattr(tokenizer, f"{name}_token") for name in ("eos", "bos", "pad", "unk")}
    return {name: (token, tokenizer.convert_tokens_to_ids(token)) for name, token in found.items() if token is not None}


def _stored_as(name: str, config: Any) -> dict[str, int]:
    """Return the number of stored tensors by type, without reading them."""
    file, folder = gguf_file(name), local_folder(name)
    if file is not None:
        from gguf import GGUFReader  # an extra; the loader has asked for it

        return dict(Counter(tensor.tensor_type.name for tensor in GGUFReader(file).tensors))
    counts: Counter[str] = Counter()
    for part in sorted(folder.glob("*.safetensors")) if folder is not None else ():
        with safe_open(part, framework="np") as opened:
            counts.update(opened.get_slice(key).get_dtype() for key in opened.keys())  # noqa: SIM118
    return dict(counts) or {str(getattr(config, "dtype", None) or "unknown").removeprefix("torch."): 1}


def _generation(name: str) -> dict[str, Any]:
    """Return what a checkpoint's generation settings would change; nothing where there are none."""
    if gguf_file(name) is not None:
        return {}
    try:
        with no_reports():
            found = GenerationConfig.from_pretrained(str(local_folder(name) or name)).to_diff_dict()
    except (OSError, ValueError, TypeError):  # there is none, or it cannot be read: it is not used either way
        return {}
    return {key: value for key, value in found.items() if key not in _BOOKKEEPING}

"""Export a causal recommender for inference engines (vLLM, SGLang): model, tokenizer, and every item's token ids.

Engines need a table of embeddings whose rows all have a piece: an id without one breaks the conversion to text. And
rows that are a multiple of 64 make their products fast. So the table is cut or padded to the next multiple, and rows
behind the last piece get pieces of their own, the fillers.

    config.json, model.safetensors, tokenizer…   for AutoModelForCausalLM and engines
    sid_table.safetensors   `tokens` int32 (items, longest), −1 padded, and `lengths`; ids, never strings
    item_ids.json           the item of each row
    trie.safetensors        which tokens may follow which (`models.hub_layout`)
    prompt.json             how a history becomes token ids (`engine_prompts`)
    engine.json             sizes
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from lexirec.core.errors import SettingsError
from lexirec.core.files import write_json
from lexirec.core.store import Store
from lexirec.models.exported import CARD, ExportManifest, check_free, whole_folder, write_export
from lexirec.models.hub_layout import write_trie
from lexirec.models.loading import load_named
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.nn.t5 import save_backbone
from lexirec.pipeline.remeasure import evaluated
from lexirec.workflows.distribution.card import CardFacts, Part, engine_card
from lexirec.workflows.distribution.engine_prompts import PROMPT, prompt_template
from lexirec.workflows.distribution.export import ExportSettings, backbone_name

_log = logging.getLogger(__name__)
MULTIPLE = 64
"""Rows of an exported table are a multiple of this."""
TABLE, ITEMS, SIZES, TRIE = "sid_table.safetensors", "item_ids.json", "engine.json", "trie.safetensors"


def export_engine(
    store: Store, name: str, target: Path, settings: ExportSettings | None = None, *, wanted: str | None = None
) -> ExportManifest:
    """Write a TS-Rec recommender as a folder for inference engines.

    Args:
        store: of finished experiments.
        name: of an experiment, or the folder of a saved recommender.
        target: the folder to write; it appears when it is complete.
        settings: licence, and whether an earlier export is replaced; columns do not matter.
        wanted: name of one of the experiment's recommenders.

    Raises:
        ArtifactError: there is no such recommender, or the folder is not free.
        SettingsError: no engine can compute its scores.
    """
    settings = settings or ExportSettings()
    check_free(target, force=settings.force)
    known = evaluated(store, name, wanted)
    recommender = servable(load_named(store, name, wanted), name)
    with whole_folder(target, force=settings.force) as folder:
        write_json(folder / PROMPT, prompt_template(recommender.builder))
        sizes = fit_rows(recommender.backbone)
        tokens, lengths = recommender.identifiers.tokens, recommender.identifiers.lengths
        sizes |= {
            "items": len(tokens),
            "sid_lengths": [int(lengths.min()), int(lengths.max())],
            "likelihood": recommender.settings.network.likelihood,
        }
        if lengths.min() < lengths.max():
            _log.warning(
                "identifiers have %d to %d tokens: beams of an engine that generates a fixed number of tokens are not "
                "comparable; give them stop tokens by trie.safetensors, or use identifiers of one length",
                *sizes["sid_lengths"],
            )
        save_backbone(recommender.backbone, folder)
        save_file({"tokens": tokens, "lengths": lengths.astype(np.int32)}, folder / TABLE)
        write_json(folder / ITEMS, recommender.catalog.item_ids, indent=None)
        write_trie(recommender.model.trie, folder / TRIE)
        write_json(folder / SIZES, sizes)
        part = Part("", "causal", "", backbone=True, counts=False, added=None)
        facts = CardFacts(known, (part,), backbone_name(store, name), settings.license, (), ())
        (folder / CARD).write_text(engine_card(facts, sizes), encoding="utf-8")
        return write_export(folder, "engine", known.name, known.recommender)


def servable(recommender: Any, name: str) -> TSRecRecommender:
    """Return a recommender whose scores a causal language model computes alone.

    Raises:
        SettingsError: it is none.
    """
    inner = getattr(recommender, "_recommender", recommender)  # without facts of today
    if not isinstance(inner, TSRecRecommender):
        kind = recommender.protocol.get("recommender")
        advice = "choose a TS-Rec part with --with" if kind == "fused" else "use --format hub"
        raise SettingsError(f"{name} is of the kind '{kind}'; engines serve causal language models alone: {advice}")
    network = inner.settings.network
    if network.head == "grounded":
        raise SettingsError(
            f'{name} has model.network.head = "grounded", whose scores are no logits of a language model, so no engine '
            'computes them; use --format hub, or train with head = "vocabulary"'
        )
    return inner


@torch.no_grad()
def fit_rows(backbone: Any) -> dict[str, Any]:
    """Cut or pad a causal model's table so that its rows are a multiple of 64, and give every row a piece.

    Padded rows are zero, so their logit is 0. Rows that a checkpoint had beyond its pieces stay where they are kept.

    Args:
        backbone: model and tokenizer, changed in place.

    Returns:
        `rows`, `rows_before`, `pieces` (before the fillers), `padded_rows` (zero) and `fillers` (pieces without text).
    """
    model, tokenizer = backbone.model, backbone.tokenizer
    before = model.get_input_embeddings().weight.shape[0]
    pieces = max(tokenizer.get_vocab().values()) + 1
    rows = -(-pieces // MULTIPLE) * MULTIPLE
    tied = _shared(model)
    if rows != before:
        model.resize_token_embeddings(rows, mean_resizing=False)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        if rows > before:
            table.weight[before:] = 0
            if getattr(table, "bias", None) is not None:
                table.bias[before:] = 0
    assert _shared(model) == tied, "resizing must keep tied weights tied"
    fillers = [f"<|filler_{number}|>" for number in range(rows - pieces)]
    tokenizer.add_tokens(fillers, special_tokens=True)
    ids = tokenizer.get_vocab()
    if [ids[filler] for filler in fillers] != list(range(pieces, rows)):
        raise SettingsError("the tokenizer gives new pieces no consecutive ids, so its table cannot be filled")
    if holes := rows - len(set(ids.values())):
        _log.warning("%d ids of the tokenizer have no piece; an engine that samples one cannot write it as text", holes)
    for name in [name for name in vars(model.config) if name.startswith("lexirec_")]:
        delattr(model.config, name)
    return {
        "rows": rows,
        "rows_before": before,
        "pieces": pieces,
        "padded_rows": max(0, rows - before),
        "fillers": len(fillers),
    }


def _shared(model: Any) -> bool:
    output: Tensor = model.get_output_embeddings().weight
    shared: bool = output.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    return shared

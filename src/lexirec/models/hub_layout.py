"""The hub's layout of a saved recommender: its backbone lies at the top, as any transformers model does.

    config.json, model.safetensors, tokenizer…   the backbone, for AutoModel.from_pretrained(folder)
    network.safetensors                          the weights around it: heads, rows of items
    trie.safetensors                             the prefix trie, for programs without lexirec
    recommender.json, settings.json, catalog/, identifiers/ …   as `save` writes them

A part of an ensemble has the same layout in `parts/NAME/`; a baseline has no backbone and stays as it was saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lexirec.decoding.trie import Trie
from lexirec.models.saving import BACKBONE, HUB, LAYOUT, MANIFEST, OTHER_WEIGHTS, WEIGHTS, read_manifest
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

TRIE = "trie.safetensors"
GENERATIVE = {"late-fusion": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM", "causal": "MODEL_FOR_CAUSAL_LM"}
"""Kinds of recommenders with a backbone, and transformers' table of the classes that their backbones have."""
_TRIE_TABLES = ("child_offsets", "token", "parent", "depth", "node_item", "item_node")


def to_hub_layout(folder: Path) -> None:
    """Rearrange a folder that a recommender's `save` wrote; `load` reads both layouts."""
    for part in recommender_folders(folder):
        manifest = read_manifest(part)
        if manifest["kind"] in GENERATIVE:
            _rearrange(part, manifest)


def recommender_folders(folder: Path) -> Iterator[Path]:
    """Yield the folder of a saved recommender and those of its parts, the innermost first."""
    for file in sorted(folder.rglob(MANIFEST), key=lambda path: (-len(path.parts), path)):
        yield file.parent


def _rearrange(folder: Path, manifest: Mapping[str, Any]) -> None:
    prefix, weights = f"{BACKBONE}.", load_file(folder / WEIGHTS)
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    others = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    _save(own, folder / WEIGHTS)
    _save(others, folder / OTHER_WEIGHTS)
    for file in (folder / BACKBONE).iterdir():
        file.rename(folder / file.name)
    (folder / BACKBONE).rmdir()
    name_class(folder / "config.json", str(manifest["kind"]))
    identifiers = Identifiers.load(folder / "identifiers")
    write_trie(Trie.build(identifiers.tokens, trained=manifest.get("trained")), folder / TRIE)
    changed = {**manifest, LAYOUT: HUB}
    (folder / MANIFEST).write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")


def name_class(config: Path, kind: str) -> None:
    """Name in a model's `config.json` the class and the type of the weights, by which engines find their own."""
    from transformers.models.auto import modeling_auto

    values = json.loads(config.read_text(encoding="utf-8"))
    classes = getattr(modeling_auto, f"{GENERATIVE[kind]}_MAPPING_NAMES")
    values["architectures"] = [classes[values["model_type"]]]
    values["dtype"] = "float32"
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_trie(trie: Trie, file: Path) -> None:
    """Write the tables of a trie that find the legal next tokens of a prefix; see `decoding.trie.Trie`.

    Under likelihood `vocabulary` an encoder-decoder writes its end token behind a leaf.
    """
    save_file({name: getattr(trie, name).to(torch.int32).contiguous() for name in _TRIE_TABLES}, file)


def _save(weights: Mapping[str, Tensor], file: Path) -> None:
    partial = file.with_suffix(".partial")  # the tensors may be views of the file that is replaced
    save_file({name: value.contiguous() for name, value in weights.items()}, partial, metadata={"format": "pt"})
    partial.replace(file)

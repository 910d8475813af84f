"""What the stages of an experiment stored about the items that a recommender was trained with.

The manifest of every artifact names the keys of its inputs, so a recommender's folder in the store leads to all of
them, also for experts of an ensemble, which come from another experiment file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import Manifest, read_manifest
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences, load_array
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.embeddings.vector_files import concatenate
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.quantizers.codebook import FILE as CODEBOOK
from lexirec.semantic_ids.quantizers.codebook import Codebook

_VECTORS = "vectors."
_STAGES = ("data", "codes", "tokenizer", "lexicon", "identifiers", "neighbors", "model")
"""Inputs that are stages: a store without one cannot be used. Others may be files from outside."""


@dataclass(frozen=True, eq=False)
class Artifacts:
    """The frozen artifacts of one recommender.

    Attributes:
        catalog: The items that it was trained with.
        folders: Folders of its stages by name: `data`, `vectors.NAME`, `codes`, `lexicon`, `identifiers`, `neighbors`.
        settings: The settings of these stages, and of the recommender's own (`recommender`).
        parts: Of an ensemble: the artifacts of its parts, by name.
    """

    catalog: Catalog
    folders: Mapping[str, Path] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parts: Mapping[str, Artifacts] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """Names of the sources of vectors, in the order in which they are joined."""
        return [name for name in self.folders if name.startswith(_VECTORS)]

    @cached_property
    def vectors(self) -> NDArray[np.float32] | None:
        """The items' vectors, all sources joined: float32 (n_items, d); None without a source."""
        parts = [load_array(self.folders[name] / "vectors.npy") for name in self.sources]
        return concatenate(parts) if parts else None

    @cached_property
    def codes(self) -> Codes | None:
        """The items' codes; None without any."""
        return Codes.load(self.folders["codes"]) if "codes" in self.folders else None

    @cached_property
    def semantic_levels(self) -> int:
        """Number of levels of residual codes, without the one that only tells colliding items apart."""
        path = self.folders["codes"] / "semantic_ids.npy" if "codes" in self.folders else None
        if path is not None and path.is_file():
            return int(load_array(path).shape[1])
        return 0 if self.codes is None else self.codes.levels

    @cached_property
    def codebook(self) -> Codebook | None:
        """The fitted quantiser; None where it is a tree, or its codes were published."""
        folder = self.folders.get("codes")
        return Codebook.load(folder) if folder is not None and (folder / CODEBOOK).is_file() else None

    @cached_property
    def identifiers(self) -> Identifiers | None:
        """The items' identifiers as their stage made them."""
        return Identifiers.load(self.folders["identifiers"]) if "identifiers" in self.folders else None

    @cached_property
    def neighbors(self) -> Neighbors | None:
        """The items' neighbours."""
        return Neighbors.load(self.folders["neighbors"]) if "neighbors" in self.folders else None

    @cached_property
    def train(self) -> Sequences | None:
        """The training rows."""
        folder = self.folders.get("data")
        return None if folder is None else Sequences.load(folder / "split" / "train")


def artifacts_of(store: Store, folder: Path) -> Artifacts:
    """Return the artifacts of a recommender that an experiment stored.

    Args:
        store: Where the stages are.
        folder: The artifact of the recommender: a model, a reinforced model, a baseline or an ensemble.

    Raises:
        ArtifactError: the folder is no artifact, or one that it was made from is no longer in the store.
    """
    manifest = read_manifest(folder)
    inputs = _inputs(store, manifest)
    if manifest.stage == "reinforced":
        return artifacts_of(store, inputs["model"])
    catalog = Catalog.load(inputs["data"] / "catalog") if "data" in inputs else Catalog.load(folder / "catalog")
    if manifest.stage == "fused":
        names = [str(name) for name in manifest.settings["of"]]
        parts = {name: artifacts_of(store, inputs[name]) for name in names}
        return Artifacts(catalog, inputs, _settings(inputs, manifest), parts)
    found = dict(inputs)
    for name in ("identifiers", "codes", "neighbors"):  # what describes the items stands behind these
        if name in found:
            found |= {
                other: path for other, path in _inputs(store, read_manifest(found[name])).items() if other not in found
            }
    return Artifacts(catalog, found, _settings(found, manifest))


def _settings(found: Mapping[str, Path], manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    settings: dict[str, Mapping[str, Any]] = {name: read_manifest(path).settings for name, path in found.items()}
    return {**settings, "recommender": manifest.settings}


def _inputs(store: Store, manifest: Manifest) -> dict[str, Path]:
    """Return the folders of an artifact's inputs by name; files from outside are left out."""
    found = {}
    for name, key in manifest.inputs.items():
        folder = next((each for each in store.root.glob(f"*/{key}") if each.is_dir()), None)
        if folder is not None:
            found[name] = folder
        elif name in _STAGES or name.startswith(_VECTORS):
            raise ArtifactError(
                f"{store.root}: the stage '{name}' that the {manifest.stage} was made from is no longer in the store; "
                "run the experiment again"
            )
    return found

"""Saved recommenders on disk: the manifest of every kind, and the parts of generative ones (settings, weights …)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lexirec.core.config import Settings
from lexirec.core.config_errors import explain
from lexirec.core.errors import ArtifactError
from lexirec.core.renamed import current
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

_CATALOG = "catalog"
_IDENTIFIERS = "identifiers"
_SETTINGS = "settings.json"
WEIGHTS = "model.safetensors"
"""File of all weights; in the hub's layout of those of the backbone, under the names that transformers gives them."""
OTHER_WEIGHTS = "network.safetensors"
"""File of the weights around the backbone in the hub's layout."""
BACKBONE = "backbone"
"""Folder of the backbone's configuration and tokenizer, and first part of the names of its weights."""
LAYOUT, HUB = "layout", "hub"
"""Entry of the manifest, and its value for the hub's layout (`models.hub_layout`), which has no folder `backbone`."""
_OF_ITEMS = "items."
_ITEM_WEIGHTS = "items.safetensors"
"""File of the weights of items, apart from the others where items were added: the others are then those of before."""

AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class SavedParts(Generic[AnySettings]):
    """The parts that `read_parts` read from a folder; `backbone` holds configuration and tokenizer of the backbone."""

    manifest: Mapping[str, Any]
    backbone: Path
    catalog: Catalog
    identifiers: Identifiers
    settings: AnySettings
    weights: Mapping[str, Tensor]

    @property
    def trained(self) -> int | None:
        """Number of leading items that it was trained with; None for all."""
        trained: int | None = self.manifest.get("trained")
        return trained


def write_parts(
    folder: Path,
    catalog: Catalog,
    identifiers: Identifiers,
    settings: Settings,
    model: nn.Module,
    *,
    trained: int | None = None,
) -> None:
    """Write the common parts of a generative recommender; the caller writes the manifest last, as a completion mark.

    With `trained`, where items were added behind so many that it was trained with, the weights of items have a file of
    their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    catalog.save(folder / _CATALOG)
    (folder / _IDENTIFIERS).mkdir(exist_ok=True)
    identifiers.save(folder / _IDENTIFIERS)
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    (folder / _ITEM_WEIGHTS).unlink(missing_ok=True)
    if trained is not None:
        save_file(
            {name: weights.pop(name) for name in list(weights) if name.startswith(_OF_ITEMS)}, folder / _ITEM_WEIGHTS
        )
    save_file(weights, folder / WEIGHTS)
    (folder / _SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_parts(folder: Path, kind: type[AnySettings]) -> SavedParts[AnySettings]:
    """Read what `write_parts` wrote.

    Raises:
        ArtifactError: the folder is incomplete or damaged, another version wrote it, or its catalogue was replaced.
    """
    manifest = read_manifest(folder)
    catalog = load_catalog(folder, manifest)
    with undamaged(folder):
        settings = read_settings(folder / _SETTINGS, kind)
        identifiers, weights = Identifiers.load(folder / _IDENTIFIERS), _read_weights(folder, manifest)
        if manifest.get("trained") is not None:
            weights |= load_file(folder / _ITEM_WEIGHTS)
    backbone = folder if manifest.get(LAYOUT) == HUB else folder / BACKBONE
    return SavedParts(manifest, backbone, catalog, identifiers, settings, weights)


def _read_weights(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
    if manifest.get(LAYOUT) == HUB:
        weights = {f"{BACKBONE}.{name}": value for name, value in weights.items()}
        weights |= load_file(folder / OTHER_WEIGHTS)
    return weights


def read_settings(file: Path, kind: type[AnySettings]) -> AnySettings:
    """Read the settings of a saved recommender.

    Raises:
        ArtifactError: they hold a setting or a value that this version does not know.
        OSError, ValueError: they cannot be read.
    """
    values = current(json.loads(file.read_text(encoding="utf-8")), kind)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name, message = explain(problem, kind, values)
        raise ArtifactError(
            f"{file}: setting '{name}' is from another version of lexirec: {message}; load the recommender with the "
            "version that saved it, or train and save it again"
        ) from None


@contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Turn failures to read a part of a saved recommender into a one-line ArtifactError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the saved recommender is damaged ({_one_line(error)}); save it again") from None


def put_weights(model: nn.Module, saved: SavedParts[Any], folder: Path) -> None:
    """Load saved weights into a model, move it to its device and put it into evaluation mode.

    Raises:
        ArtifactError: they belong to another network.
    """
    try:
        model.load_state_dict(saved.weights)
    except RuntimeError as error:
        message = f"{folder / WEIGHTS}: the weights do not fit the network ({_one_line(error)}); save it again"
        raise ArtifactError(message) from None
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# -------------------------------------------------------------------------------------------------------- the manifest


MANIFEST = "recommender.json"
"""File that names a saved recommender's kind and catalogue; it is written last, so it marks a complete folder."""

FORMAT = 1
"""Version of the layout of saved recommenders; manifests without one have the same layout."""


def write_manifest(folder: Path, kind: dict[str, Any], catalog: Catalog, *, trained: int | None = None) -> None:
    """Write the manifest of a saved recommender: its kind, its catalogue, and how many items it was trained with."""
    values = {"format": FORMAT, **kind, "items": len(catalog), "catalog": catalog.digest}
    values |= {} if trained is None else {"trained": trained}
    (folder / MANIFEST).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a saved recommender.

    Raises:
        ArtifactError: it is missing, damaged, or written by a newer version of lexirec.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no saved recommender is here ({MANIFEST} is missing); save it again") from None
    except ValueError as error:
        raise ArtifactError(f"{file}: damaged ({error}); save the recommender again") from None
    if manifest.get("format", FORMAT) != FORMAT:
        raise ArtifactError(
            f"{file}: format {manifest['format']} of saved recommenders is unknown; this version of lexirec reads "
            f"format {FORMAT}; update lexirec, or save the recommender again with this version"
        )
    return manifest


def load_catalog(folder: Path, manifest: dict[str, Any]) -> Catalog:
    """Read the catalogue of a saved recommender and check it against the manifest.

    Raises:
        ArtifactError: it is missing, damaged or not the one that was saved.
    """
    catalog = Catalog.load(folder / _CATALOG)
    if catalog.digest != manifest.get("catalog"):
        saved = f"{str(manifest.get('catalog'))[:12]} ({manifest.get('items')} items)"
        raise ArtifactError(
            f"{folder}: the catalog is {catalog.digest[:12]} ({len(catalog)} items), but the recommender was saved "
            f"with {saved}; save it again"
        )
    return catalog

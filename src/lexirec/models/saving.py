"""What the folders of saved generative recommenders have in common: catalogue, identifiers, settings and weights."""

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
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import MANIFEST, load_catalog, read_manifest
from lexirec.semantic_ids.identifiers.identifiers import Identifiers

_CATALOG = "catalog"
_IDENTIFIERS = "identifiers"
_SETTINGS = "settings.json"
_WEIGHTS = "model.safetensors"

AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True)
class SavedParts(Generic[AnySettings]):
    """What was read from a folder."""

    manifest: Mapping[str, Any]
    catalog: Catalog
    identifiers: Identifiers
    settings: AnySettings
    weights: Mapping[str, Tensor]


def write_parts(folder: Path, catalog: Catalog, identifiers: Identifiers, settings: Settings, model: nn.Module) -> None:
    """Write the common parts into a folder, made where there is none; the manifest is written last, by the caller."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog.save(folder / _CATALOG)
    (folder / _IDENTIFIERS).mkdir(exist_ok=True)
    identifiers.save(folder / _IDENTIFIERS)
    save_file({name: value.cpu().contiguous() for name, value in model.state_dict().items()}, folder / _WEIGHTS)
    (folder / _SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_parts(folder: Path, kind: type[AnySettings]) -> SavedParts[AnySettings]:
    """Read what `write_parts` wrote.

    Raises:
        ArtifactError: the folder is incomplete or damaged, another version wrote it, or its catalogue is another one.
    """
    manifest = read_manifest(folder)
    catalog = load_catalog(folder, manifest)
    with undamaged(folder):
        settings = read_settings(folder / _SETTINGS, kind)
        identifiers, weights = Identifiers.load(folder / _IDENTIFIERS), load_file(folder / _WEIGHTS)
    return SavedParts(manifest, catalog, identifiers, settings, weights)


def read_settings(file: Path, kind: type[AnySettings]) -> AnySettings:
    """Read the settings of a saved recommender.

    Raises:
        ArtifactError: they hold a setting or a value that this version does not know.
        OSError, ValueError: they cannot be read.
    """
    values = json.loads(file.read_text(encoding="utf-8"))
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name, message = explain(problem, kind, values)
        raise ArtifactError(
            f"{file}: another version of lexirec saved this: {message} (setting '{name}'); load it with the version "
            "that saved it, or train and save the recommender again"
        ) from None


@contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Say in one line that a saved recommender is damaged where reading a part of it fails."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the saved recommender is damaged ({_one_line(error)}); save it again") from None


def put_weights(model: nn.Module, saved: SavedParts[Any], folder: Path) -> None:
    """Give a model the weights that were saved, and bring it to where it is used, ready to rank.

    Raises:
        ArtifactError: they are those of another network.
    """
    try:
        model.load_state_dict(saved.weights)
    except RuntimeError as error:
        message = f"{folder / _WEIGHTS}: {_one_line(error)}; save the recommender again ({MANIFEST})"
        raise ArtifactError(message) from None
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

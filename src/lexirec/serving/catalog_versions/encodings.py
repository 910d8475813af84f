"""The items' encodings of GRAM, once per version of the catalogue: in files that every start maps into memory.

Those of version 0 are an artifact of their own, made by the first service that starts; those of later versions are made
when they are published, from the files of the version before.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lexirec.core.errors import LexirecError
from lexirec.core.manifest import Recipe
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.ranking import Recommender
from lexirec.models.extension.changes import CatalogChange
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.stored_states import encoded, extend_states, write_states
from lexirec.models.living_catalog import KIND
from lexirec.serving.catalog_versions.differences import generative_parts

STAGE, _CODE = "encodings", 1
FOLDER = "encodings"
"""Folder of a version's artifact."""
_log = logging.getLogger(__name__)


def with_encodings(recommender: Recommender) -> list[GramRecommender]:
    """Return the parts of a recommender that read encodings of items."""
    parts: list[Any] = generative_parts(recommender)
    return [each for each in parts if isinstance(each, GramRecommender) and each.model.settings.item_prompts]


def map_encodings(store: Store, key: str, recommender: Recommender) -> None:
    """Let a recommender read its items' encodings from files; where there are none, they are computed and kept.

    Args:
        store: Of the experiment.
        key: Of the recommender's artifact: of training, or of a version.
        recommender: As it was loaded.
    """
    parts = with_encodings(recommender)
    if not parts:
        return
    try:
        folder = store.path(KIND, key) / FOLDER
        if not folder.is_dir():
            folder = store.ensure(_recipe(key), lambda out: _compute(parts, out))
        _read(parts, folder)
    except (LexirecError, OSError) as error:  # such as a store that cannot be written
        _log.warning("the items' encodings are not kept in files: %s", error)


def extend_encodings(
    store: Store, parent: str, change: CatalogChange, before: Recommender, after: Recommender, out: Path
) -> None:
    """Write the encodings of a new version, and let its recommender read them.

    Args:
        store: Of the experiment.
        parent: Key of the version that it is made from.
        change: Of the catalogue.
        before: The recommender of the parent.
        after: That of the new version.
        out: Folder of the new artifact.
    """
    parts, old = with_encodings(after), with_encodings(before)
    if not parts:
        return
    map_encodings(store, parent, before)
    folder = out / FOLDER
    for number, (part, earlier) in enumerate(zip(parts, old, strict=True)):
        source = earlier.states_folder
        if source is None or not _same_encoder(part, earlier):
            _compute([part], folder, number)
            continue
        with quiet():
            extend_states(source, _sources(part, earlier, change), part.model, folder / str(number))
    _read(parts, folder)


def encodings_folder(store: Store, key: str) -> Path:
    """Return the folder of the encodings of a recommender that are an artifact of their own."""
    return store.path(STAGE, _recipe(key).key)


def _recipe(key: str) -> Recipe:
    return Recipe(STAGE, _CODE, {}, {"recommender": key})


def _compute(parts: list[GramRecommender], out: Path, first: int = 0) -> None:
    for number, part in enumerate(parts, first):
        with quiet():
            write_states(encoded(part.model), out / str(number))


def _read(parts: list[GramRecommender], folder: Path) -> None:
    for number, part in enumerate(parts):
        part.read_states(folder / str(number))


def _same_encoder(part: GramRecommender, earlier: GramRecommender) -> bool:
    mine, theirs = (nn.ModuleList(each.model.encoders).state_dict() for each in (part, earlier))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def _sources(part: GramRecommender, earlier: GramRecommender, change: CatalogChange) -> NDArray[np.int64]:
    """Return for each item its number before the change, where its prompt is what it was, else −1."""
    sources = np.full(len(part.catalog), -1, dtype=np.int64)
    sources[: len(change.kept)] = change.kept
    mine, theirs = part.item_prompts, earlier.item_prompts
    for number, source in enumerate(change.kept.tolist()):
        a, b = mine.offsets[number : number + 2].tolist(), theirs.offsets[source : source + 2].tolist()
        if a[1] - a[0] != b[1] - b[0] or not torch.equal(mine.values[a[0] : a[1]], theirs.values[b[0] : b[1]]):
            sources[number] = -1
    return sources

"""Pictures of items as inputs of a stage: where the files are, and the digest of them that enters its key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.runs import Stage
from lexirec.core.store import Store
from lexirec.data.toy_shop.pictures import COLUMN
from lexirec.pipeline.components import DataChoice, ToyShop
from lexirec.pipeline.stages.data import load_catalog
from lexirec.semantic_ids.embeddings.histograms import HISTOGRAMS
from lexirec.semantic_ids.embeddings.picture_files import digest_of_all, picture_names, picture_paths, why_not
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors


class StoredPictureVectors(PictureVectors):
    """Settings of picture vectors as a stage gets them: with the folder and the content of the pictures."""

    outside_the_key: ClassVar[tuple[str, ...]] = PictureVectors.outside_the_key
    content: str | None = None
    """Digest of all items' pictures; none where the data stage made them, or before it has read the table."""


def located(settings: PictureVectors, choice: DataChoice, data: Stage, store: Store) -> Settings:
    """Return the settings with the folder of the pictures and the digest of their content.

    Which files count is known when the data stage has read the table of items. A plan that is made before has no
    digest, so that its key is not that of the later run.

    Raises:
        SettingsError: the toy shop draws no pictures, or has another column of them.
        DataError: the table has no such column, or it holds addresses.
    """
    if isinstance(choice, ToyShop) and settings.folder is None:
        if not choice.pictures:
            raise SettingsError('vectors of kind "images" need pictures: set data.pictures = true for the toy shop')
        if settings.column != COLUMN:
            raise SettingsError(
                f"the pictures of the toy shop are in the column '{COLUMN}', not in '{settings.column}'"
            )
        return StoredPictureVectors(**settings.model_dump())
    folder = settings.folder if isinstance(choice, ToyShop) else settings.folder or choice.items.parent
    content = None
    if store.complete(data.kind, data.key):
        names = picture_names(load_catalog(data.folder), settings.column)
        content = digest_of_all(_digests(picture_paths(names, folder), store))
    return StoredPictureVectors(**{**settings.model_dump(), "folder": folder, "content": content})


def model_folder(settings: PictureVectors) -> dict[str, Path]:
    """Return the local folder of the vision model, if it is one; its content enters the key."""
    folder = Path(settings.model)
    return {"model": folder} if settings.model not in HISTOGRAMS and folder.is_dir() else {}


def check_unchanged(settings: PictureVectors, content: str) -> None:
    """Check that the pictures that were encoded are those of the key.

    Raises:
        ArtifactError: they are not.
    """
    if isinstance(settings, StoredPictureVectors) and settings.content not in (None, content):
        raise ArtifactError(
            f"pictures in {settings.folder} changed while they were being read, so nothing was stored; run the same "
            "command again when they are complete"
        )


def _digests(paths: Sequence[Path | None], store: Store) -> list[str]:
    readable = [path for path in paths if path is not None and not why_not(path)]
    found = dict(zip(readable, store.digests(readable), strict=True))
    return ["" if path is None else found.get(path, "") for path in paths]

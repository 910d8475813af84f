"""Item embeddings by any source: LSA, a sentence encoder, a vision model, or a file; joined if several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.config import DataPath, Settings, usual_kind
from lexirec.core.errors import DataError
from lexirec.semantic_ids.embeddings.picture_files import picture_names
from lexirec.semantic_ids.embeddings.picture_vectors import PictureVectors, encode_pictures
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors, sentence_vectors
from lexirec.semantic_ids.embeddings.svd import CollaborativeVectors, LsaSpace

# these names are also known by this module, where they stood before
from lexirec.semantic_ids.embeddings.vector_files import concatenate as concatenate
from lexirec.semantic_ids.embeddings.vector_files import normalized as normalized
from lexirec.semantic_ids.embeddings.vector_files import read_vectors as read_vectors

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog


class LsaVectors(Settings):
    """Settings of LSA: TF-IDF of the texts' words, reduced by singular value decomposition; needs no model."""

    kind: Literal["lsa"] = "lsa"
    fields: tuple[str, ...] | None = None
    """Text fields of the catalogue; none takes the catalogue's default."""
    dimensions: Annotated[int, Field(ge=1)] = 256
    """Width of the vectors; smaller for small catalogues."""
    seed: int = 0
    """Seed of the decomposition."""


class PrecomputedVectors(Settings):
    """Settings of vectors read from a file, of texts, images or anything else."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)  # the file's content is in the key
    kind: Literal["precomputed"] = "precomputed"
    path: DataPath
    """`.npy` or `.npz` with a row per item, or Parquet with `item_id`, see `read_vectors`."""


VectorSettings = Annotated[
    LsaVectors | SentenceVectors | CollaborativeVectors | PrecomputedVectors | PictureVectors,
    Field(discriminator="kind"),
    usual_kind("lsa"),
]


def embed_items(catalog: Catalog, settings: Any = None, *, folder: Path | None = None) -> NDArray[np.float32]:
    """Return L2-normalised vectors of a catalogue's items: float32 (n_items, d).

    Args:
        catalog: The items.
        settings: `LsaVectors` (the default), `SentenceVectors`, `PictureVectors` or `PrecomputedVectors`;
            `CollaborativeVectors` need interactions, see `CollaborativeVectors.fit`.
        folder: Folder for the finished shards of a long computation, see `sentence_vectors`.

    Raises:
        DataError: a text field, model or file cannot be used.
    """
    match settings:
        case None:
            return lsa(catalog.texts())
        case LsaVectors():
            return lsa(catalog.texts(settings.fields), settings.dimensions, settings.seed)
        case SentenceVectors():
            return sentence_vectors(catalog.texts(settings.fields), settings, folder=folder, ids=catalog.item_ids)
        case PictureVectors():
            names = picture_names(catalog, settings.column)
            return encode_pictures(names, settings, folder=folder, ids=catalog.item_ids).vectors
        case PrecomputedVectors():
            return normalized(read_vectors(settings.path, catalog))
        case _:
            raise DataError(f"vectors: {type(settings).__name__} are no settings of vectors of a catalogue alone")


def lsa(texts: Sequence[str], dimensions: int = 256, seed: int = 0) -> NDArray[np.float32]:
    """Return L2-normalised vectors of texts by latent semantic analysis (`LsaSpace`): float32 (n_texts, d).

    d is less than `dimensions` for fewer texts or fewer distinct words. A text without a known word gets zeros.

    Raises:
        DataError: no text has a word.
    """
    return normalized(LsaSpace.fit(texts, dimensions, seed).embed(texts))


def embed_items_like(
    catalog: Catalog, first: Catalog, settings: LsaVectors | SentenceVectors, *, folder: Path | None = None
) -> NDArray[np.float32]:
    """Return vectors of a catalogue's items in the embedding space of another catalogue: float32 (n_items, d).

    Latent semantic analysis is fitted on the first catalogue's texts and applied to the other's, where words unknown to
    the first are ignored. Sentence encoders have one space for all texts. Text fields are those of the settings that
    the catalogue has; without any, the catalogue's default.

    Raises:
        DataError: as `embed_items` does.
    """
    fields = tuple(name for name in settings.fields or () if name in catalog.table.column_names) or None
    if isinstance(settings, SentenceVectors):
        return sentence_vectors(catalog.texts(fields), settings, folder=folder, ids=catalog.item_ids)
    space = LsaSpace.fit(first.texts(settings.fields), settings.dimensions, settings.seed)
    return normalized(space.embed(catalog.texts(fields)))

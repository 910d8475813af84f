"""Item vectors from pictures, by a vision model or a histogram, in shards so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lexirec.core.config import DataPath, Settings
from lexirec.core.digests import file_digest
from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.files import find_sealed, save_sealed
from lexirec.core.progress import Progress
from lexirec.semantic_ids.embeddings.histograms import HISTOGRAMS
from lexirec.semantic_ids.embeddings.picture_files import (
    UnusablePictureError,
    check_pillow,
    decode,
    digest_of_all,
    picture_paths,
    read_content,
    why_not,
)
from lexirec.semantic_ids.embeddings.vector_files import normalized
from lexirec.semantic_ids.embeddings.vision_model import Pooling, Precision, VisionModel

_INDEX = "shards.json"
_NAMED = 3
_log = logging.getLogger(__name__)


class PictureVectors(Settings):
    """Settings of vectors from the items' pictures (needs `pip install 'lexirec[images]'`)."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("folder", "shard_size")  # the pictures' content is in the key
    kind: Literal["images"] = "images"
    column: str = "picture"
    """Column of the items table with the paths of picture files; of a list the first counts."""
    folder: DataPath | None = None
    """Folder that relative paths start from; by default the folder of the items table."""
    model: str = "color-histogram"
    """Name on the Hugging Face hub, or folder, of a vision model (CLIP, SigLIP, DINOv2, …); or `color-histogram` or
    `edge-histogram`, which need none."""
    pooling: Pooling = "model"
    """How a picture's states become one vector: as the model's family does it (image features of CLIP and SigLIP, the
    class token of DINOv2), the class token, or the mean of the patches."""
    dtype: Precision = "float32"
    """Precision of the model."""
    max_missing: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Largest share of items whose picture is missing or broken; they get zeros. More is an error."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Pictures encoded at once."""
    shard_size: Annotated[int, Field(ge=1)] = 1024
    """Pictures per shard; an interrupted run loses at most one shard."""

    @model_validator(mode="after")
    def _a_histogram_has_no_tokens(self) -> Self:
        if self.model in HISTOGRAMS and (self.pooling != "model" or self.dtype != "float32"):
            raise ValueError(
                f"'pooling' and 'dtype' are for vision models; leave them out with model = \"{self.model}\""
            )
        return self


@dataclass(frozen=True)
class EncodedPictures:
    """Vectors of all items' pictures.

    Attributes:
        vectors: float32 (n_items, d), L2-normalised; zeros for items without a usable picture.
        reasons: Item number -> why its picture gives no vector.
        content: Digest of all pictures' bytes, see `digest_of_all`.
    """

    vectors: NDArray[np.float32]
    reasons: dict[int, str]
    content: str


class _Encoder(Protocol):
    def prepare(self, picture: Any) -> Any: ...

    def encode(self, prepared: Sequence[Any]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class _Shard:
    """Some items' pictures: vectors (k, d) of the k usable ones, and of all n a digest and a reason, "" for none."""

    vectors: NDArray[np.float32]
    digests: list[str]
    reasons: list[str]


def encode_pictures(
    names: Sequence[str],
    settings: PictureVectors,
    *,
    base: Path | None = None,
    folder: Path | None = None,
    ids: Sequence[str] | None = None,
) -> EncodedPictures:
    """Encode the pictures of all items.

    Args:
        names: The path of every item's picture as the items table has it, "" where there is none.
        settings: Of the encoder.
        base: Folder that relative paths start from where the settings name none.
        folder: Folder for finished shards; a second call with the same names and settings reuses those whose pictures
            have not changed. Shards of other names or settings are deleted.
        ids: Of the items, for messages.

    Raises:
        SettingsError: Pillow is not installed, or the model cannot be used.
        DataError: too many pictures are missing or broken, or the model gives a vector that is not finite.
    """
    check_pillow()
    if not names:
        raise DataError("there are no pictures to encode; give at least one item")
    paths = picture_paths(names, settings.folder or base)
    pictures = _Pictures(names, ids or [f"number {row}" for row in range(len(names))], settings)
    pictures.check({row: reason for row, path in enumerate(paths) if (reason := why_not(path))})
    store = _Shards(folder, names, settings) if folder is not None else None
    encoder, shards = _Lazy(settings), []
    with Progress("picture vectors", len(names)) as progress:
        for start in range(0, len(names), settings.shard_size):
            part = paths[start : start + settings.shard_size]
            shard = store.read(start, part) if store else None
            if shard is None:
                shard = _encode(part, encoder, settings)
                pictures.check_finite(shard, start)
                if store:
                    store.write(start, shard)
            shards.append(shard)
            progress.advance(len(part))
    reasons = dict(enumerate(reason for shard in shards for reason in shard.reasons))
    pictures.check(missing := {row: reason for row, reason in reasons.items() if reason}, last=True)
    widest = max((shard.vectors for shard in shards), key=lambda vectors: vectors.shape[1])
    vectors = np.zeros((len(names), widest.shape[1]), dtype=np.float32)
    usable = np.setdiff1d(np.arange(len(names)), np.fromiter(missing, dtype=np.int64, count=len(missing)))
    vectors[usable] = np.concatenate([shard.vectors for shard in shards if len(shard.vectors)])
    content = digest_of_all([digest for shard in shards for digest in shard.digests])
    return EncodedPictures(normalized(vectors), missing, content)


@dataclass(frozen=True)
class _Pictures:
    """The pictures as messages name them."""

    names: Sequence[str]
    ids: Sequence[str]
    settings: PictureVectors

    def check(self, missing: dict[int, str], *, last: bool = False) -> None:
        """Refuse too many missing pictures; with `last`, log those that are few enough."""
        if not missing:
            return
        share = len(missing) / len(self.names)
        kinds = Counter(reason.partition(" (")[0] for reason in missing.values())
        counts = ", ".join(f"{reason}: {count:,}" for reason, count in kinds.most_common())
        named = ", ".join(f"'{self.ids[row]}' ('{self.names[row][:60]}')" for row in list(missing)[:_NAMED])
        told = f"{len(missing):,} of {len(self.names):,} items ({share:.1%}) have no usable picture"
        told += f" ({counts}), such as {named}"
        if share > self.settings.max_missing or len(missing) == len(self.names):
            raise DataError(
                f"{told}; at most {self.settings.max_missing:.0%} may have none: check 'column' and 'folder', add the "
                "files, or raise 'max_missing'"
            )
        if last:
            _log.warning("%s; their vectors are zero", told)

    def check_finite(self, shard: _Shard, start: int) -> None:
        """Check the vectors of a shard before it is stored: a stored one would be read again."""
        bad = np.flatnonzero(~np.isfinite(shard.vectors).all(axis=1))
        if len(bad):
            rows = start + np.flatnonzero([not reason for reason in shard.reasons])[bad]
            named = ", ".join(f"'{self.ids[row]}'" for row in rows[:_NAMED])
            raise DataError(
                f"the model '{self.settings.model}' gives NaN or infinity for {len(bad):,} of {len(shard.vectors):,} "
                f'pictures, those of items such as {named}; check its weights, use dtype = "float32", or choose '
                "another model"
            )


class _Lazy:
    """The encoder, loaded when the first picture needs it."""

    def __init__(self, settings: PictureVectors) -> None:
        self._settings = settings
        self._encoder: _Encoder | None = None

    def __call__(self) -> _Encoder:
        if self._encoder is None:
            how = self._settings
            histogram = HISTOGRAMS.get(how.model)
            self._encoder = VisionModel(how.model, how.pooling, how.dtype) if histogram is None else histogram()
        return self._encoder


def _encode(paths: Sequence[Path | None], encoder: _Lazy, settings: PictureVectors) -> _Shard:
    """Encode some pictures; decoded ones are held one at a time, prepared ones batch by batch."""
    digests, reasons = [], []
    prepared: list[Any] = []
    parts: list[NDArray[np.float32]] = []
    for path in paths:
        digest = reason = ""
        try:
            content = read_content(path)
            digest = hashlib.sha256(content).hexdigest()
            prepared.append(encoder().prepare(decode(content)))
        except UnusablePictureError as error:
            reason = str(error)
        digests.append(digest)
        reasons.append(reason)
        if len(prepared) == settings.batch_size:
            parts.append(encoder().encode(prepared))
            prepared = []
    if prepared:
        parts.append(encoder().encode(prepared))
    return _Shard(np.concatenate(parts) if parts else np.zeros((0, 0), np.float32), digests, reasons)


class _Shards:
    """Finished shards in a folder, valid for one list of names and one encoder, while the files are the same."""

    def __init__(self, folder: Path, names: Sequence[str], settings: PictureVectors) -> None:
        self.folder = folder
        # batch_size changes only the last digits, so a resumed run may use another
        made_from = settings.model_dump(mode="json", include={"model", "pooling", "dtype", "shard_size"})
        digest = hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()
        index = json.dumps({"settings": made_from, "names": digest}, sort_keys=True)
        path = folder / _INDEX
        if not path.exists() or path.read_bytes() != index.encode():
            folder.mkdir(parents=True, exist_ok=True)
            for stale in folder.glob("from-*.npz"):
                stale.unlink()
            path.write_text(index, encoding="utf-8")

    def read(self, start: int, paths: Sequence[Path | None]) -> _Shard | None:
        """Return a shard, unless it is not there or a picture has changed since."""
        path = find_sealed(self.folder, self._name(start), ".npz")
        if path is None:
            return None
        with np.load(path, allow_pickle=False) as stored:
            shard = _Shard(stored["vectors"], stored["digests"].tolist(), stored["reasons"].tolist())
        return shard if shard.digests == [_digest(each) for each in paths] else None

    def write(self, start: int, shard: _Shard) -> None:
        arrays = {"digests": np.array(shard.digests), "reasons": np.array(shard.reasons)}

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, vectors=shard.vectors, **arrays)

        save_sealed(self.folder, self._name(start), ".npz", save)

    def _name(self, start: int) -> str:
        return f"from-{start:010d}"


def _digest(path: Path | None) -> str:
    """Return the digest of a picture's bytes, "" where there are none to read."""
    if path is None or why_not(path):
        return ""
    try:
        return file_digest(path)
    except ArtifactError:
        return ""

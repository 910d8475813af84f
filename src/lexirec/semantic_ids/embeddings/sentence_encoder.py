"""Text embeddings by a sentence-transformers model, computed in shards so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.config import ModelName, Settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.core.files import find_sealed, save_sealed
from lexirec.core.progress import Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_INDEX = "shards.json"


class SentenceVectors(Settings):
    """Settings of a sentence encoder (sentence-transformers; needs `pip install 'lexirec[text]'`)."""

    kind: Literal["sentence-transformers"] = "sentence-transformers"
    model: ModelName
    """Name on the Hugging Face hub, or folder of a saved model."""
    fields: tuple[str, ...] | None = None
    """Text fields of the catalogue; none takes the catalogue's default."""
    prompt: str = ""
    """Instruction before every text, for models that expect one."""
    pooling: Literal["model", "mean", "cls", "max", "lasttoken"] = "model"
    """How token vectors are pooled; `model` keeps the model's own pooling."""
    max_length: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a text; none keeps the model's limit."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Texts encoded at once."""
    shard_size: Annotated[int, Field(ge=1)] = 1024
    """Texts per shard; an interrupted run loses at most one shard."""


def sentence_vectors(
    texts: Sequence[str],
    settings: SentenceVectors,
    *,
    folder: str | Path | None = None,
    ids: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Return L2-normalised sentence vectors: float32 (n_texts, d).

    Args:
        texts: One text per item.
        settings: Of the encoder.
        folder: Folder for finished shards; a second call with the same texts and settings reuses them. Shards of other
            texts or settings are deleted.
        ids: Of the items, for messages.

    Raises:
        SettingsError: sentence-transformers is not installed, there is no such model, or its pooling cannot be changed.
        DataError: there are no texts, or the model gives a vector that is not finite.
    """
    if not texts:
        raise DataError("there are no texts to encode; give at least one item")
    store = _Shards(Path(folder), texts, settings) if folder is not None else None
    starts = range(0, len(texts), settings.shard_size)
    model: SentenceTransformer | None = None
    parts: list[NDArray[np.float32]] = []
    with Progress("sentence vectors", len(texts)) as progress:
        for start in starts:
            shard = store.read(start) if store else None
            if shard is None:
                model = model or _load(settings)
                shard = _encode(model, texts[start : start + settings.shard_size], settings)
                _check_finite(shard, start, texts, settings, ids)
                if store:
                    store.write(start, shard)
            parts.append(shard)
            progress.advance(len(shard))
    return np.concatenate(parts)


def _check_finite(
    shard: NDArray[np.float32],
    start: int,
    texts: Sequence[str],
    settings: SentenceVectors,
    ids: Sequence[str] | None,
) -> None:
    """Check the vectors of a shard before it is stored: a stored one would be read again."""
    bad = start + np.flatnonzero(~np.isfinite(shard).all(axis=1))
    if len(bad):
        named = ", ".join(f"'{ids[row]}'" if ids is not None else f"number {row}" for row in bad[:3])
        raise DataError(
            f"the model '{settings.model}' gives NaN or infinity for {len(bad):,} of {len(shard):,} texts, those of "
            f"items such as {named} ('{texts[bad[0]][:40]}'); check its weights, or choose another model"
        )


class _Shards:
    """Finished shards in a folder, valid for one list of texts and one encoder."""

    def __init__(self, folder: Path, texts: Sequence[str], settings: SentenceVectors) -> None:
        self.folder = folder
        # batch_size changes only the last digits, so a resumed run may use another
        made_from = settings.model_dump(mode="json", exclude={"batch_size", "fields"})
        digest = hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode(errors="surrogatepass")).hexdigest()
        index = json.dumps({"settings": made_from, "texts": digest}, sort_keys=True)
        path = folder / _INDEX
        if not path.exists() or path.read_bytes() != index.encode():
            folder.mkdir(parents=True, exist_ok=True)
            for stale in folder.glob("from-*.npy"):
                stale.unlink()
            path.write_text(index, encoding="utf-8")

    def read(self, start: int) -> NDArray[np.float32] | None:
        path = find_sealed(self.folder, self._name(start), ".npy")
        shard = None if path is None else np.load(path, allow_pickle=False)
        return shard if shard is not None and np.isfinite(shard).all() else None

    def write(self, start: int, shard: NDArray[np.float32]) -> None:
        save_sealed(self.folder, self._name(start), ".npy", lambda path: np.save(path, shard, allow_pickle=False))

    def _name(self, start: int) -> str:
        return f"from-{start:010d}"


def _load(settings: SentenceVectors) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise SettingsError(
            "vectors of kind 'sentence-transformers' need the package sentence-transformers: "
            "pip install 'lexirec[text]', or choose kind 'lsa'"
        ) from None
    try:
        model = SentenceTransformer(settings.model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"there is no sentence-transformers model '{settings.model}' here or on the hub ({reason}); "
            "give its name or the folder it was saved in"
        ) from None
    if settings.max_length is not None:
        model.max_seq_length = settings.max_length
    if settings.pooling != "model":
        _pool(model, settings)
    return model.eval()


def _pool(model: SentenceTransformer, settings: SentenceVectors) -> None:
    """Replace the pooling module of a model."""
    for name, module in model.named_children():
        if hasattr(module, "pooling_mode") or hasattr(module, "pooling_mode_mean_tokens"):
            pooling: Any = type(module)
            width = getattr(module, "embedding_dimension", None) or module.word_embedding_dimension
            setattr(model, name, pooling(width, pooling_mode=settings.pooling))
            return
    raise SettingsError(f"the model '{settings.model}' has no pooling module to replace; use pooling = \"model\"")


def _encode(model: SentenceTransformer, texts: Sequence[str], settings: SentenceVectors) -> NDArray[np.float32]:
    vectors = model.encode(
        list(texts),
        prompt=settings.prompt or None,
        batch_size=settings.batch_size,
        show_progress_bar=False,
        normalize_embeddings=True,
    )
    return np.asarray(vectors, dtype=np.float32)

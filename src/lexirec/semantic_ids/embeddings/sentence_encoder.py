"""Text embeddings by a sentence-transformers model, computed in shards so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from lexirec.core.config import ModelName, Settings
from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.core.progress import Progress
from lexirec.core.renamed import StoredAsBefore
from lexirec.shards.parts import check_part, write_part
from lexirec.shards.plan import Shard, ShardPlan
from lexirec.shards.running import run_shards

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_log = logging.getLogger(__name__)


class SentenceVectors(StoredAsBefore, Settings):
    """Settings of a sentence encoder (sentence-transformers; needs `pip install 'lexirec[text]'`)."""

    later: ClassVar[tuple[str, ...]] = ("workers",)
    outside_the_key: ClassVar[tuple[str, ...]] = ("workers",)
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
    """Texts per shard; an interrupted run loses at most one shard of each worker."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Processes that encode shards, one thread and one model each; 1 is this process with all its threads."""


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
            texts or settings are deleted. Without it, this process alone encodes.
        ids: Of the items, for messages.

    Raises:
        SettingsError: sentence-transformers is not installed, there is no such model, or its pooling cannot be changed.
        DataError: there are no texts, or (without a folder) the model gives a vector that is not finite.
        ArtifactError: with a folder, shards failed, such as by vectors that are not finite.
    """
    if not texts:
        raise DataError("there are no texts to encode; give at least one item")
    names = list(map(str, range(len(texts)))) if ids is None else list(ids)
    table = pa.table({"text": pa.array(texts, pa.string()), "id": pa.array(names, pa.string())})
    if folder is not None:
        return _in_shards(table, settings, Path(folder))
    task, parts = EncodeTask(table, settings), list[NDArray[np.float32]]()
    plan = ShardPlan.over(len(texts), settings.shard_size, {})
    state = task.setup()
    with Progress("sentence vectors", len(texts)) as progress:
        for number in range(len(plan)):
            shard = plan.shard(number)
            parts.append(task.vectors(shard, state))
            progress.advance(len(shard))
    return np.concatenate(parts)


def _check_finite(
    vectors: NDArray[np.float32], texts: Sequence[str], ids: Sequence[str], settings: SentenceVectors
) -> None:
    """Check the vectors of a shard before it is stored: a stored one would be read again."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"the model '{settings.model}' gives NaN or infinity for {len(bad):,} of {len(vectors):,} texts, those of "
            f"items such as {', '.join(repr(ids[row]) for row in bad[:3])} ('{texts[bad[0]][:40]}'); check its weights,"
            " or choose another model"
        )


@dataclass(frozen=True)
class EncodeTask:
    """Makes the vectors of a shard of texts.

    Attributes:
        texts: The texts and their items' ids, or a Parquet file of both, for workers that are other processes.
        settings: Of the encoder.
    """

    texts: pa.Table | Path
    settings: SentenceVectors

    def setup(self) -> tuple[SentenceTransformer, pa.Table]:
        """Load the model; return it with the texts.

        Raises:
            SettingsError: there is no such model, or its pooling cannot be changed.
        """
        texts = pq.read_table(self.texts, memory_map=True) if isinstance(self.texts, Path) else self.texts
        return _load(self.settings), texts

    def run(self, shard: Shard, state: tuple[SentenceTransformer, pa.Table]) -> pa.Table:
        """Return the vectors of a shard as a column of lists of one length."""
        vectors = self.vectors(shard, state)
        flat = pa.array(vectors.ravel(), pa.float32())
        return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})

    def vectors(self, shard: Shard, state: tuple[SentenceTransformer, pa.Table]) -> NDArray[np.float32]:
        """Return the vectors of a shard: float32 (rows, d).

        Raises:
            DataError: the model gives a vector that is not finite.
        """
        model, table = state
        rows = table.slice(shard.start, len(shard)).to_pydict()
        vectors = _encode(model, rows["text"], self.settings)
        _check_finite(vectors, rows["text"], rows["id"], self.settings)
        return vectors


def _in_shards(table: pa.Table, settings: SentenceVectors, folder: Path) -> NDArray[np.float32]:
    """Encode texts in shards that are kept in a folder, by processes where the settings want several."""
    # batch_size changes only the last digits, so a resumed run may use another
    made_from = settings.model_dump(mode="json", exclude={"batch_size", "fields", "workers"})
    texts = hashlib.sha256(json.dumps(table.column("text").to_pylist(), ensure_ascii=False).encode()).hexdigest()
    plan = ShardPlan.over(table.num_rows, settings.shard_size, {"settings": made_from, "texts": texts})
    folder.mkdir(parents=True, exist_ok=True)
    for stale in [*folder.glob("part-*.parquet"), *folder.glob("from-*.npy")]:
        if not stale.name.endswith(f"-{plan.key}.parquet"):
            stale.unlink()
    for number in range(len(plan)):
        _drop_damaged(plan.part(folder, number), len(plan.shard(number)))
    task = EncodeTask(table, settings)
    if settings.workers == 1:
        run_shards(plan, task, folder)
    elif plan.pending(folder):
        given = folder / f"_texts-{plan.key}.parquet"
        write_part(given, table)
        run_shards(plan, EncodeTask(given, settings), folder, executor="processes", workers=settings.workers)
    return np.concatenate([_vectors_of(plan.part(folder, number)) for number in range(len(plan))])


def _drop_damaged(part: Path, rows: int) -> None:
    """Remove a part that cannot be read, or whose vectors are no numbers, so that it is made again."""
    if not part.exists():
        return
    try:
        check_part(part, rows)
        whole = bool(np.isfinite(_vectors_of(part)).all())
    except ArtifactError:
        whole = False
    if not whole:
        _log.warning("%s is damaged; it is made again", part)
        part.unlink()


def _vectors_of(part: Path) -> NDArray[np.float32]:
    column = pq.ParquetFile(part).read().column("vector").combine_chunks()
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)


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

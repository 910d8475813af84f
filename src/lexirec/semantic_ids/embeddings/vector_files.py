"""Vectors of items without any model: read from files, normalised, several sources joined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.errors import DataError

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog


def read_vectors(path: str | Path, catalog: Catalog) -> NDArray[np.float32]:
    """Read item vectors from a file, not normalised: float32 (n_items, d), in catalogue order.

    Allowed are `.npy`, one row per item in catalogue order; `.npz` with the arrays `vectors` and, unless the rows are
    in catalogue order, `item_id`; Parquet with `item_id` and either one column of lists or one numeric column per
    dimension. Files with item ids may contain further items. Pickled arrays are refused.

    Raises:
        DataError: the file is unreadable, has another number of rows, missing or repeated items, lists of different
            lengths, or numbers that are not finite; the message names file, row or item.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give .npy, .npz or Parquet with vectors")
    ids: pa.Array | None = None
    match path.suffix:
        case ".npy":
            vectors = _numpy(path)
        case ".npz":
            vectors, ids = _archive(path)
        case ".parquet":
            vectors, ids = _parquet(path)
        case _:
            raise DataError(f"{path.name}: vectors are read from .npy, .npz or .parquet, not from '{path.suffix}'")
    if vectors.ndim != 2 or not vectors.shape[1] or not np.issubdtype(vectors.dtype, np.number):
        raise DataError(
            f"{path.name} holds {vectors.dtype} of shape {vectors.shape}; give a matrix of numbers (items, d)"
        )
    if np.iscomplexobj(vectors):
        raise DataError(f"{path.name} holds complex numbers; give real ones")
    return _finite(_in_order(vectors.astype(np.float32, copy=False), ids, catalog, path), catalog, path)


def concatenate(sources: Sequence[NDArray[np.floating]], weights: Sequence[float] | None = None) -> NDArray[np.float32]:
    """Concatenate vectors of the same items, such as text and images: float32 (n_items, sum of widths).

    Each source is L2-normalised and multiplied by the square root of its weight (1 by default), then the result is
    normalised: the cosine of two items is the weighted mean of the sources' cosines.

    Raises:
        DataError: no source, sources of different lengths, or weights that are negative or not one per source.
    """
    weights = [1.0] * len(sources) if weights is None else list(weights)
    if not sources or len({len(source) for source in sources}) > 1:
        raise DataError(f"vectors of {[len(source) for source in sources]} items; give sources of the same items")
    if len(weights) != len(sources) or min(weights) < 0 or not sum(weights) or not np.isfinite(weights).all():
        raise DataError(f"the weights of {len(sources)} sources are {weights}; give one per source, none negative")
    scaled = [np.float32(np.sqrt(weight)) * normalized(source) for source, weight in zip(sources, weights, strict=True)]
    return normalized(np.hstack(scaled))


def normalized(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return rows divided by their L2 norm; zero rows stay zero."""
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    odd = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    odd = odd[vectors[odd].any(axis=1)]
    if odd.size:  # squares of very large numbers overflow, those of very small ones vanish: such rows are scaled first
        vectors = vectors.copy()
        vectors[odd] /= np.abs(vectors[odd]).max(axis=1, keepdims=True)
        norms[odd] = np.linalg.norm(vectors[odd], axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _numpy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError):
        raise DataError(f"{path.name} is no numpy matrix without pickle; write it with numpy.save") from None


def _archive(path: Path) -> tuple[NDArray[Any], pa.Array | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            vectors = archive["vectors"]
            ids = pa.array(archive["item_id"].astype(str).tolist(), pa.string()) if "item_id" in archive else None
            return vectors, ids
    except (ValueError, OSError, EOFError, KeyError):
        raise DataError(
            f"{path.name} has no readable array `vectors`; write the arrays `vectors` and `item_id` with numpy.savez"
        ) from None


def _parquet(path: Path) -> tuple[NDArray[Any], pa.Array]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name} is no Parquet file ({str(error).splitlines()[0]})") from None
    if "item_id" not in table.column_names:
        raise DataError(f"{path.name} has no column 'item_id'; its columns are {', '.join(table.column_names)}")
    ids = table["item_id"].cast(pa.string()).combine_chunks()
    columns = table.drop_columns(["item_id"])
    if columns.num_columns == 1 and _is_list(columns.schema.types[0]):
        return _from_lists(columns.column(0), ids, path), ids
    for field in columns.schema:
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            raise DataError(
                f"{path.name}: column '{field.name}' is {field.type}; give one column of lists, or numbers only"
            )
    return np.stack([column.to_numpy().astype(np.float32) for column in columns.columns], axis=1), ids


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _from_lists(column: pa.ChunkedArray, ids: pa.Array, path: Path) -> NDArray[Any]:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    odd = np.flatnonzero(lengths != lengths[0]) if len(lengths) else np.zeros(0, dtype=np.int64)
    if len(odd):
        raise DataError(
            f"{path.name}: item '{ids[int(odd[0])]}' has {lengths[odd[0]]} numbers, item '{ids[0]}' has {lengths[0]}; "
            "give vectors of one length"
        )
    return np.asarray(pc.list_flatten(column).to_numpy()).reshape(len(lengths), -1)


def _in_order(vectors: NDArray[np.float32], ids: pa.Array | None, catalog: Catalog, path: Path) -> NDArray[np.float32]:
    if ids is None:
        if len(vectors) != len(catalog):
            raise DataError(
                f"{path.name} has {len(vectors):,} rows, the catalog {len(catalog):,} items; give one row per item, in "
                "catalogue order, or a file with item_id"
            )
        return vectors
    if len(ids) != len(vectors):
        raise DataError(f"{path.name}: {len(vectors):,} vectors for {len(ids):,} item ids; give one per item")
    if len(ids.unique()) != len(ids):
        counts = pc.value_counts(ids)
        twice = counts.field(0)[int(np.argmax(counts.field(1).to_numpy()))]
        raise DataError(f"{path.name}: item '{twice}' occurs more than once; keep one vector per item")
    wanted = pa.array(catalog.item_ids, pa.string())
    places = pc.index_in(wanted, value_set=ids)
    if places.null_count:
        missing = wanted.filter(pc.is_null(places)).to_pylist()
        named = ", ".join(f"'{item}'" for item in missing[:3])
        raise DataError(
            f"{path.name} has no vector for {len(missing):,} items of the catalog, such as {named}; add them"
        )
    return np.asarray(vectors[places.to_numpy()])


def _finite(vectors: NDArray[np.float32], catalog: Catalog, path: Path) -> NDArray[np.float32]:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"{path.name}: the vector of item '{catalog.item_ids[bad[0]]}' (row {bad[0]}) holds NaN, null or infinity "
            f"({len(bad)} such items); every number must be finite"
        )
    return vectors

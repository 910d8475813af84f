"""Parts: Parquet files that appear whole or not at all, and are checked against damage."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lexirec.core.errors import ArtifactError
from lexirec.core.files import saying_disk_is_full, sync

_ROW_GROUP = 131_072


def write_part(path: Path, table: pa.Table) -> None:
    """Write a part: into a file of another name, flushed to disk, which then takes the part's name.

    The same table makes the same bytes, so another process may write the same part at the same time.

    Raises:
        ArtifactError: the disk is full.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        with saying_disk_is_full(path.parent, "; the parts written so far are kept"):
            pq.write_table(table, partial, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
            sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def check_part(path: Path, rows: int) -> str:
    """Read a part as a whole and return its SHA-256.

    Raises:
        ArtifactError: it cannot be read, its checksums do not fit, or it has another number of rows.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            file.read_row_group(group)
        found = file.metadata.num_rows
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} is damaged ({reason}); remove it and run the same command again") from None
    if found != rows:
        raise ArtifactError(f"{path} has {found:,} rows, not {rows:,}; remove it and run the same command again")
    return digest

"""What all workers of a run read: users, their events, the items with their present facts; pinned when the run begins.

They stand in a folder `_input-KEY` beside the parts, which appears whole or not at all, so a run that carries on, and
runs on other machines over the same folder, answer with the same facts. Workers map the files into memory.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.files import read_json, saying_disk_is_full, write_json
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.serving.answering.snapshot import Snapshot

_USERS, _CARD, _EVENTS, _COPIED, _AVAILABLE = "users.arrow", "card.json", "events.npy", "copied.npy", "available.npy"
_ROWS = ("history", "seen", "never")


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a run.

    Attributes:
        user_ids: Ids in the order of the rows.
        history: Items that are read, oldest first, one row per user.
        seen: Items that count as seen; None for those of the histories.
        never: Items that are never recommended to the user; None for none.
        digests: uint64 (users,), of each user's events.
        copied: int64 (users,), rows of an earlier run whose lists are taken over, −1 for none; None for none at all.
        catalog: The items with their present facts.
        available: bool (items,), items that may be recommended at the pinned moment; None for all.
        card: What else the run is made of; JSON values.
    """

    user_ids: pa.ChunkedArray
    history: Sequences
    seen: Sequences | None
    never: Sequences | None
    digests: NDArray[np.uint64]
    copied: NDArray[np.int64] | None
    catalog: Catalog
    available: NDArray[np.bool_] | None
    card: Mapping[str, Any]

    def pin(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot with the pinned facts and availability in place of its own."""
        return replace(snapshot, catalog=self.catalog, available=self.available, windows=None, shown=None)

    def save(self, folder: Path) -> None:
        """Write the folder, unless it is there.

        Raises:
            ArtifactError: the disk is full.
        """
        if folder.exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
        try:
            with saying_disk_is_full(folder):
                self._write(partial)
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # another run over the same folder was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        folder.mkdir()
        table = pa.table({"user_id": self.user_ids})
        with pa.OSFile(str(folder / _USERS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1 << 20)
        for name in _ROWS:
            rows = getattr(self, name)
            if rows is not None:
                rows.save(folder / name)
        for file, array in ((_EVENTS, self.digests), (_COPIED, self.copied), (_AVAILABLE, self.available)):
            if array is not None:
                np.save(folder / file, array, allow_pickle=False)
        self.catalog.save(folder / "catalog")
        write_json(folder / _CARD, dict(self.card))

    @classmethod
    def open(cls, folder: Path) -> Inputs:
        """Map a folder into memory.

        Raises:
            ArtifactError: it is not there, or damaged.
        """
        try:
            rows = {name: _mapped_rows(folder / name) for name in _ROWS}
            history = rows.pop("history")
            if history is None:
                raise FileNotFoundError("there are no histories")
            return cls(
                open_users(folder),
                history,
                digests=open_digests(folder),
                copied=_mapped(folder / _COPIED),
                catalog=Catalog.load(folder / "catalog"),
                available=_mapped(folder / _AVAILABLE),
                card=read_json(folder / _CARD),
                **rows,
            )
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ArtifactError(f"{folder} is damaged ({error}); remove it and run the same command again") from None


def open_users(folder: Path) -> pa.ChunkedArray:
    """Map the ids of the users of a folder of inputs into memory."""
    return pa.ipc.open_file(pa.memory_map(str(folder / _USERS))).read_all().column("user_id")


def open_digests(folder: Path) -> NDArray[np.uint64]:
    """Map the digests of the users' events into memory."""
    digests: NDArray[np.uint64] = np.load(folder / _EVENTS, mmap_mode="r", allow_pickle=False)
    return digests


def _mapped(path: Path) -> NDArray[Any] | None:
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None


def _mapped_rows(folder: Path) -> Sequences | None:
    items, offsets = _mapped(folder / "items.npy"), _mapped(folder / "offsets.npy")
    return None if items is None or offsets is None else Sequences(items, offsets)


def event_digests(*kinds: Sequences | None) -> NDArray[np.uint64]:
    """Return a digest of each user's events, uint64 (users,): of items, their order and their kind.

    Two users, or two states of one, have equal digests by chance once in 2⁶⁴.
    """
    total: NDArray[np.uint64] | None = None
    for salt, rows in enumerate(kinds, start=1):
        if rows is None:
            continue
        places = np.arange(len(rows.items), dtype=np.uint64) - np.repeat(
            rows.offsets[:-1].astype(np.uint64), rows.lengths
        )
        mixed = _mix(_mix(rows.items.astype(np.uint64) + np.uint64(salt << 32)) + places)
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
        digest = sums[rows.offsets[1:]] - sums[rows.offsets[:-1]]
        total = digest if total is None else _mix(total) + digest
    assert total is not None, "there are histories"
    return total


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well-mixed numbers (splitmix64 of Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

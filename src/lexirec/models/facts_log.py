"""Changes of facts as lines of a log: a checksum, then JSON; a line that is not whole does not count."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lexirec.core.errors import ArtifactError

_LINE = re.compile(rb"[0-9a-f]{8} .*", re.DOTALL)


@dataclass(frozen=True)
class FactsChange:
    """One change of facts.

    Attributes:
        values: Item id -> column -> value.
        hidden: Ids of items that are hidden from now on.
        shown: Ids of items that are shown again.
    """

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    shown: Sequence[str] = ()

    def line(self) -> bytes:
        """Return the change as a line of the log."""
        content: dict[str, Any] = {"values": self.values} if self.values else {}
        content |= {"hidden": list(self.hidden)} if self.hidden else {}
        content |= {"shown": list(self.shown)} if self.shown else {}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return b"%08x %s\n" % (zlib.crc32(text), text)


def append_to(path: Path, size: int, content: bytes) -> None:
    """Write content behind the first `size` bytes, in place of what a crash left there, and sync it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        if os.fstat(descriptor).st_size > size:
            os.ftruncate(descriptor, size)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(descriptor, content[written:], size + written)
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def changes_of(content: bytes, path: Path) -> tuple[list[FactsChange], int]:
    """Return the changes of a part of a log, and the bytes that they take; a torn end is left out."""
    lines = content.split(b"\n")[:-1]  # behind the last line end stands nothing, or a torn line
    changes, used = list[FactsChange](), 0
    for number, line in enumerate(lines):
        change = _change(line)
        if change is None:
            if any(_change(later) is not None for later in lines[number + 1 :]):
                raise ArtifactError(f"{path} is damaged in the middle; restore it from a backup, or remove it")
            break
        changes.append(change)
        used += len(line) + 1
    return changes, used


def _change(line: bytes) -> FactsChange | None:
    if not _LINE.fullmatch(line) or int(line[:8], 16) != zlib.crc32(line[9:]):
        return None
    content = json.loads(line[9:])
    return FactsChange(content.get("values", {}), content.get("hidden", ()), content.get("shown", ()))

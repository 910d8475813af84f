"""Files that appear whole or not at all: atomic JSON, and saved states whose names hold the digest of their content.

A long computation keeps its states in files `NAME.DIGEST.SUFFIX`, the newest two. A state that a crash, a full disk or
a hand damaged is noticed by its digest, and the one before it is used. `disk_error` turns what libraries raise on a
full disk, each in its own way, into one line.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lexirec.core.errors import ArtifactError

_log = logging.getLogger(__name__)
_DIGITS = 16
_KEPT = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "pytorchstreamwriter failed writing",  # torch, as the next two
    "iostream error",
    "unexpected pos",
    " requested and ",  # numpy: "4096 requested and 512 written"
)
_LEAST_FREE = 1 << 20
"""Free bytes below which a failed write is put down to a full disk, where the library does not say why it failed."""


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, also after a crash.

    Without `indent` it stands on one line, which is written much faster.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
    with _appearing(path) as partial:
        partial.write_bytes(text.encode("utf-8", "surrogatepass"))
    sync(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Return the table of a JSON file; an empty one where the file is missing, damaged or no table."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed had written of a file."""
    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        number = abandoned.name.removesuffix(".partial").rpartition(".")[2]
        if number.isdigit() and not is_alive(int(number)):
            abandoned.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Say whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yield a path to write; what was written replaces `path` at the end, and nothing of it stays after an error."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove_abandoned(path)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


# --------------------------------------------------------------------------------------------------- sealed states


def save_sealed(folder: Path, name: str, suffix: str, write: Callable[[Path], None]) -> Path:
    """Write a file whose name holds the digest of its content, in place of earlier ones of this name.

    Args:
        folder: It is created if needed.
        name: First part of the file's name.
        suffix: Last part, such as `.npy`.
        write: Writes the content to the path that it is given.

    Raises:
        ArtifactError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}{suffix}"
    try:
        with saying_disk_is_full(folder):
            write(partial)
            sync(partial)
        sealed = folder / f"{name}.{_digest(partial)}{suffix}"
        before = [path for path in _of_name(folder, name, suffix) if path != sealed]
        partial.replace(sealed)
    finally:
        partial.unlink(missing_ok=True)
    sync(folder)
    for path in before:
        path.unlink(missing_ok=True)
    return sealed


def find_sealed(folder: Path, name: str, suffix: str) -> Path | None:
    """Return the file that `save_sealed` wrote, or None; a damaged one is removed, and a line in the log says so."""
    for path in _of_name(folder, name, suffix):
        if _whole(path):
            return path
        _log.warning("%s is damaged; it is made again", path)
        path.unlink(missing_ok=True)
    return None


def save_state(folder: Path, name: str, number: int, suffix: str, write: Callable[[Path], None]) -> None:
    """Write the state of a computation after step `number`; the state before it is kept, older ones are removed."""
    save_sealed(folder, f"{name}-{number:010}", suffix, write)
    for path in _states(folder, name, suffix)[_KEPT:]:
        path.unlink(missing_ok=True)


def whole_states(folder: Path, name: str, suffix: str) -> Iterator[Path]:
    """Yield the undamaged states of a computation, the newest first; a line in the log names each damaged one.

    Damaged states are removed, so that they count no longer as the newest.
    """
    for path in _states(folder, name, suffix):
        if _whole(path):
            yield path
        else:
            _log.warning("%s is damaged; going back to the state before it, or to the start", path)
            path.unlink(missing_ok=True)


def _states(folder: Path, name: str, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"{name}-{'[0-9]' * 10}.{'[0-9a-f]' * _DIGITS}{suffix}"), reverse=True)


def _of_name(folder: Path, name: str, suffix: str) -> list[Path]:
    ends = "." + "[0-9a-f]" * _DIGITS + suffix
    return [path for path in folder.glob(f"*{ends}") if path.name[: -len(suffix) - _DIGITS - 1] == name]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]


def _whole(path: Path) -> bool:
    try:
        return path.name.removesuffix(path.suffix).endswith(f".{_digest(path)}")
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------------ full disks


def disk_error(error: BaseException, path: Path) -> ArtifactError | None:
    """Return the one-line error for a write that failed because a disk is full; None for any other error.

    Libraries say it in their own ways: the system's error number, a text, or only that the write failed.

    Args:
        error: What was raised; its causes are looked at, too.
        path: What was to be written.
    """
    reason: BaseException | None = error
    while reason is not None:
        told = str(reason).lower()
        if (isinstance(reason, OSError) and reason.errno in _FULL) or any(text in told for text in _FULL_TEXTS):
            return _full(path)
        reason = reason.__cause__ or reason.__context__
    if isinstance(error, OSError | RuntimeError) and "writ" in str(error).lower() and _free(path) < _LEAST_FREE:
        return _full(path)
    return None


@contextmanager
def saying_disk_is_full(path: Path, kept: str = "") -> Iterator[None]:
    """Turn the failure of a write on a full disk into one line; `kept` says what is still there."""
    try:
        yield
    except Exception as error:
        full = disk_error(error, path)
        if full is None:
            raise
        raise ArtifactError(f"{full}{kept}") from error


def _full(path: Path) -> ArtifactError:
    return ArtifactError(f"{path}: the disk is full; free space and run the same command again")


def _free(path: Path) -> int:
    existing = next((each for each in (path, *path.parents) if each.exists()), Path())
    return shutil.disk_usage(existing).free

"""Digests of files: SHA-256 of a content, remembered until size, times or inode change, and checked after reading."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lexirec.core.errors import ArtifactError
from lexirec.core.files import read_json, write_json
from lexirec.core.progress import Progress, track

RACY_SECONDS = 2.0
"""A file that was written less than this long ago could change again within the resolution of its times."""
_LARGE, _CHUNK = 1 << 29, 1 << 24
_ATTEMPTS = 3
_log = logging.getLogger(__name__)


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, or of a folder's relative paths and their digests.

    Raises:
        ArtifactError: there is nothing at `path`, or it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder_digest({name: _hashed(inner) for name, inner in files_of(path)})
        return _hashed(path)
    except FileNotFoundError as error:
        raise ArtifactError(f"there is no file {error.filename or path}") from None
    except PermissionError as error:
        raise ArtifactError(f"{error.filename or path} cannot be read: permission denied") from None


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder with its path relative to it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def stamp(path: Path) -> str:
    """Return size, times and inode of a file, which change when the file does."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def settled(path: Path) -> bool:
    """Return whether a file was written so long ago that a further change shows in its `stamp`."""
    found = path.stat()
    return time.time() - max(found.st_mtime, found.st_ctime) > RACY_SECONDS


def _folder_digest(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()


def _hashed(path: Path) -> str:
    total, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        if size < _LARGE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        with Progress(f"hashing {path.name} (MiB)", size >> 20) as progress:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
                progress.advance(len(chunk) >> 20)
    return total.hexdigest()


class Digests:
    """Digests of files and folders, remembered in a JSON file."""

    def __init__(self, file: Path) -> None:
        """Remember in `file`."""
        self._file = file

    def of(self, path: str | Path) -> str:
        """Return `file_digest(path)` without reading files that have not changed since they were read for it last.

        Raises:
            ArtifactError: there is nothing at `path`, it cannot be read, or it changes all the time.
        """
        path = Path(path)
        if path.is_dir():
            files = dict(files_of(path))
            return _folder_digest(dict(zip(files, self.of_each(list(files.values())), strict=True)))
        return self.of_each([path])[0]

    def of_each(self, paths: Sequence[Path]) -> list[str]:
        """Return the digests of many files; what is remembered is read once and written once.

        Raises:
            ArtifactError: one of them cannot be read, or changes all the time.
        """
        known = read_json(self._file)
        digests: list[str] = []
        fresh: dict[str, object] = {}
        try:
            for path in track(paths, "hashing files") if len(paths) > 1 else paths:
                digests.append(_remembered(path, known, fresh))
        finally:
            if fresh:
                with contextlib.suppress(OSError):  # where nothing can be written, they are read again
                    write_json(self._file, {**read_json(self._file), **fresh})
        return digests


def _remembered(path: Path, known: Mapping[str, object], fresh: dict[str, object]) -> str:
    """Return a file's digest, as `known` where it has not changed; what is worth remembering enters `fresh`."""
    if not path.is_file():
        return file_digest(path)
    name = str(path.resolve())
    for _ in range(_ATTEMPTS):
        found = stamp(path)
        entry = known.get(name)
        if isinstance(entry, dict) and entry.get("stamp") == found and isinstance(entry.get("sha256"), str):
            return str(entry["sha256"])
        lasting = settled(path)
        digest = file_digest(path)
        if stamp(path) == found:
            if lasting:
                fresh[name] = {"stamp": found, "sha256": digest}
            return digest
    raise ArtifactError(f"{path} changes while it is read; run again when it is complete")


class RawInputs:
    """The files from outside that a stage reads, checked after it has read them: they must be what its key says."""

    def __init__(self, stage: str, paths: Mapping[str, Path], digests: Mapping[str, str], known: Digests) -> None:
        """Take the files by name, and the digest of each that entered the stage's key."""
        self._stage, self._paths, self._digests, self._known = stage, paths, digests, known

    def begin(self, record: Path, progress: Path) -> None:
        """Note in `record` how the files look before an attempt to make the stage.

        Progress of an earlier attempt is used only if they look the same now: files that were changed and changed back
        have their old digest, but the attempt may have read what was in them between.
        """
        now = {name: _look(path) for name, path in self._paths.items() if path.exists()}
        if record.exists() and read_json(record) != now and any(progress.glob("*")):
            _log.warning("%s: its files were written since the interrupted attempt, which is discarded", self._stage)
            shutil.rmtree(progress, ignore_errors=True)
        if now:
            write_json(record, now)

    def check(self) -> None:
        """Check that the files still are what entered the key.

        Raises:
            ArtifactError: one has changed or is gone.
        """
        for name, path in self._paths.items():
            try:
                same = self._known.of(path) == self._digests[name]
            except ArtifactError as error:
                raise ArtifactError(f"{self._stage}: {error}; nothing was stored, run again when it is there") from None
            if not same:
                raise ArtifactError(
                    f"{self._stage}: {path} changed while it was being read, so nothing was stored; "
                    "run the same command again when it is complete"
                )


def _look(path: Path) -> list[list[str | int]]:
    """Return names, sizes and times of modification, which a copy to another machine can keep."""
    files = files_of(path) if path.is_dir() else [(path.name, path)]
    return [[name, found.st_size, found.st_mtime_ns] for name, found in ((name, file.stat()) for name, file in files)]

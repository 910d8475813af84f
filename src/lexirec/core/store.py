"""Artifact store: the result of every stage in a folder named by the hash of its inputs, complete or absent.

A stage's key is the SHA-256 of its name, version, settings and the keys of its inputs; raw files enter through their
own SHA-256. A result is written into `.<key>.partial`, its manifest last, and moved into place in one step, so that a
folder `<root>/<stage>/<key>` with a manifest is always complete, also after `kill -9` or a power cut. The folder
`progress/` inside a partial one survives a crash: a long stage keeps its checkpoints there and resumes from them.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lexirec.core.environment import PeakMemory, commit, machine, versions
from lexirec.core.errors import ArtifactError
from lexirec.core.locks import exclusive
from lexirec.core.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    Recipe,
    check_inputs,
    file_digest,
    files_of,
    read_manifest,
    stage_key,
    verify,
)

__all__ = [
    "MANIFEST",
    "PROGRESS",
    "Manifest",
    "Recipe",
    "Store",
    "check_inputs",
    "file_digest",
    "progress_folder",
    "read_manifest",
    "stage_key",
    "verify",
    "write_json",
]

PROGRESS = "progress"
_RACY_SECONDS = 2.0


def progress_folder(out: Path) -> Path:
    """Return the folder inside a partial artifact that survives a crash of its stage; it is created if needed."""
    folder = out / PROGRESS
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Store:
    """Artifacts below one folder, `<root>/<stage>/<key>/`."""

    def __init__(self, root: str | Path) -> None:
        """Use the folder `root`; it is created when something is written."""
        self.root = Path(root)

    def path(self, stage: str, key: str) -> Path:
        """Return the folder of an artifact, whether it exists or not."""
        return self.root / stage / key

    def complete(self, stage: str, key: str) -> bool:
        """Return whether the artifact is there, complete."""
        return (self.path(stage, key) / MANIFEST).is_file()

    def partial(self, stage: str, key: str) -> Path:
        """Return the folder an unfinished artifact is written into."""
        return self.root / stage / f".{key}.partial"

    def ensure(self, recipe: Recipe, make: Callable[[Path], None]) -> Path:
        """Return the artifact's folder; where it is missing, `make(partial folder)` is called first.

        When another process is making the same artifact, this one waits and uses its result.
        """
        if not self.complete(recipe.stage, recipe.key):
            with self.write(recipe) as out:
                if out is not None:
                    make(out)
        return self.path(recipe.stage, recipe.key)

    @contextmanager
    def write(self, recipe: Recipe) -> Iterator[Path | None]:
        """Yield a partial folder to write an artifact into; on leaving, complete it and move it into place.

        The folder is empty except for `progress/` of an earlier, crashed attempt. When the block raises, the partial
        folder stays, and with it `progress/`. Yields None when another process finished the artifact while this one
        waited for it.
        """
        final, partial = self.path(recipe.stage, recipe.key), self.partial(recipe.stage, recipe.key)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"the store {self.root} cannot be written: {error.strerror}; choose --store") from None
        with exclusive(partial.with_suffix(".lock"), f"{recipe.stage} {recipe.key[:12]}"):
            if self.complete(recipe.stage, recipe.key):
                yield None
                return
            _sweep(partial)
            started, memory = time.monotonic(), PeakMemory()
            yield partial
            shutil.rmtree(partial / PROGRESS, ignore_errors=True)
            _finish(partial, recipe, time.monotonic() - started, memory.peak)
            if final.exists():  # a folder without a manifest is not a finished artifact
                shutil.rmtree(final)
            partial.replace(final)
            _sync(final.parent)

    def artifacts(self, stage: str | None = None) -> Iterator[Path]:
        """Yield the folders of all finished artifacts, oldest first within a stage."""
        for folder in sorted(self.root.glob(stage or "*")):
            complete = [path.parent for path in folder.glob(f"[!.]*/{MANIFEST}")]
            yield from sorted(complete, key=lambda path: (path / MANIFEST).stat().st_mtime_ns)

    def digest(self, path: str | Path) -> str:
        """Return `file_digest(path)`, cached in the store until the file's size, times or inode change."""
        path = Path(path)
        if not path.is_file():
            return file_digest(path)
        stat, cached = path.stat(), self.root / "digests.json"
        stamp = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
        entry = _read_json(cached).get(str(path.resolve()), {})
        if entry.get("stamp") == stamp:
            return str(entry["sha256"])
        digest = file_digest(path)
        # A file written within the clock's resolution could change again without changing its stamp.
        if time.time() - max(stat.st_mtime, stat.st_ctime) > _RACY_SECONDS:
            write_json(cached, {**_read_json(cached), str(path.resolve()): {"stamp": stamp, "sha256": digest}})
        return digest


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _sweep(partial: Path) -> None:
    """Empty a partial folder except for its progress."""
    partial.mkdir(exist_ok=True)
    for path in partial.iterdir():
        if path.name == PROGRESS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _finish(partial: Path, recipe: Recipe, seconds: float, peak_memory: int) -> None:
    files = {}
    for name, path in files_of(partial):
        _sync(path)
        files[name] = FileEntry(sha256=file_digest(path), bytes=path.stat().st_size)
    manifest = Manifest(
        stage=recipe.stage,
        version=recipe.version,
        key=recipe.key,
        settings=dict(recipe.settings),
        inputs=dict(recipe.inputs),
        files=files,
        seed=recipe.seed,
        seconds=round(seconds, 3),
        peak_memory=peak_memory or None,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        commit=commit(),
        versions=versions(),
        machine=machine(),
    )
    for folder in [path for path in partial.rglob("*") if path.is_dir()]:
        _sync(folder)
    write_json(partial / MANIFEST, manifest.model_dump(mode="json"))


def _sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

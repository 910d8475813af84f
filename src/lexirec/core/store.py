"""Artifact store: the result of every stage in a folder named by the hash of its inputs, complete or absent.

A stage's key is the SHA-256 of its name, version, settings and the keys of its inputs; raw files enter through their
own SHA-256. A result is written into `.<key>.partial`, its manifest last, and moved into place in one step, so that a
folder `<root>/<stage>/<key>` with a manifest is always complete, also after `kill -9` or a power cut. The folder
`progress/` inside a partial one survives a crash: a long stage keeps its checkpoints there and resumes from them.

Raw files are compared with their digest again before a result is completed, and a finished artifact is compared with
its manifest before it is used again.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lexirec.core.digests import Digests, RawInputs, file_digest, files_of, settled, stamp
from lexirec.core.environment import PeakMemory, commit, machine, versions
from lexirec.core.errors import ArtifactError, LexirecError
from lexirec.core.files import disk_error, sync, write_json
from lexirec.core.locks import exclusive
from lexirec.core.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    Recipe,
    check_inputs,
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
_RAW = ".raw-inputs.json"
"""File of a partial artifact: how the raw files looked when it was begun."""
_CHECKED = ".checked"
"""Folder of the store: for every artifact, how its files looked when their content was compared with the manifest."""


def progress_folder(out: Path) -> Path:
    """Return the folder inside a partial artifact that survives a crash of its stage; it is created if needed."""
    folder = out / PROGRESS
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Store:
    """Artifacts below one folder, `<root>/<stage>/<key>/`."""

    def __init__(self, root: str | Path, *, check: bool = False) -> None:
        """Use the folder `root`; it is created when something is written.

        Args:
            root: Folder of the store.
            check: Read every file of an artifact again before it is used, also where nothing suggests a change.

        Raises:
            ArtifactError: `root` is no path.
        """
        if not isinstance(root, str | Path):
            raise ArtifactError(f"Store({root!r}): the store is a folder; give its path")
        self.root, self._read_again = Path(root), check
        self._digests = Digests(self.root / "digests.json")

    def path(self, stage: str, key: str) -> Path:
        """Return the folder of an artifact, whether it exists or not."""
        return self.root / stage / key

    def complete(self, stage: str, key: str) -> bool:
        """Return whether the artifact is there, complete."""
        return (self.path(stage, key) / MANIFEST).is_file()

    def partial(self, stage: str, key: str) -> Path:
        """Return the folder an unfinished artifact is written into."""
        return self.root / stage / f".{key}.partial"

    def ensure(self, recipe: Recipe, make: Callable[[Path], None], raw: Mapping[str, Path] | None = None) -> Path:
        """Return the artifact's folder; where it is missing, `make(partial folder)` is called first.

        When another process is making the same artifact, this one waits and uses its result.

        Args:
            recipe: Of the artifact.
            make: Writes it.
            raw: The files from outside that it reads, by their names among the recipe's inputs.

        Raises:
            ArtifactError: the artifact is damaged, the store cannot be written, or a raw file changed while it was
                being read and nothing was stored.
        """
        if self.complete(recipe.stage, recipe.key):
            self.check(self.path(recipe.stage, recipe.key))
        else:
            with self.write(recipe, raw) as out:
                if out is not None:
                    make(out)
        return self.path(recipe.stage, recipe.key)

    @contextmanager
    def write(self, recipe: Recipe, raw: Mapping[str, Path] | None = None) -> Iterator[Path | None]:
        """Yield a partial folder to write an artifact into; on leaving, complete it and move it into place.

        The folder is empty except for `progress/` of an earlier, crashed attempt. When the block raises, the partial
        folder stays, and with it `progress/`; when a raw file has changed, nothing stays. Yields None when another
        process finished the artifact while this one waited for it.
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
            inputs = RawInputs(recipe.stage, raw or {}, recipe.inputs, self._digests)
            _sweep(partial)
            inputs.begin(partial / _RAW, partial / PROGRESS)
            started, memory = time.monotonic(), PeakMemory()
            try:
                with _of_unchanged(inputs, partial):
                    yield partial
                (partial / _RAW).unlink(missing_ok=True)
                _finish(partial, recipe, time.monotonic() - started, memory.peak)
                shutil.rmtree(partial / PROGRESS, ignore_errors=True)  # not earlier: the disk may have been full
            except Exception as error:
                full = None if isinstance(error, LexirecError) else disk_error(error, self.root)
                if full is None:
                    raise
                raise full from error
            if final.is_symlink():
                final.unlink()
            elif final.exists():  # a folder without a manifest is not a finished artifact
                shutil.rmtree(final)
            partial.replace(final)
            sync(final.parent)

    def check(self, folder: Path) -> None:
        """Check a finished artifact before it is used: every file is there, with its size and its content.

        Contents are read once and then only where a file looks changed, or always with `Store(check=True)`.

        Raises:
            ArtifactError: names the damaged, missing or unexpected file.
        """
        manifest = verify(folder, None)
        files = [folder / MANIFEST, *(folder / name for name in manifest.files)]
        looks = hashlib.sha256("\n".join(stamp(path) for path in files).encode()).hexdigest()
        note = self.root / _CHECKED / manifest.key
        if not self._read_again and note.is_file() and note.read_bytes() == looks.encode():
            return
        lasting = all(settled(path) for path in files)
        verify(folder)
        if lasting:
            with contextlib.suppress(OSError):  # a store that cannot be written is read again every time
                note.parent.mkdir(exist_ok=True)
                note.write_text(looks, encoding="ascii")

    def artifacts(self, stage: str | None = None) -> Iterator[Path]:
        """Yield the folders of all finished artifacts, oldest first within a stage."""
        for folder in sorted(self.root.glob(stage or "*")):
            complete = [path.parent for path in folder.glob(f"[!.]*/{MANIFEST}")]
            yield from sorted(complete, key=lambda path: (path / MANIFEST).stat().st_mtime_ns)

    def folders(self) -> Iterator[Path]:
        """Yield the folders of all artifacts, those included that have lost their manifest."""
        for path in sorted(self.root.glob(f"*/{'[0-9a-f]' * 64}")):
            if path.is_dir():
                yield path

    def digest(self, path: str | Path) -> str:
        """Return `file_digest(path)`, cached in the store until a file's size, times or inode change."""
        return self._digests.of(path)

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """Return the digests of many files, cached in the store as that of `digest` is."""
        return self._digests.of_each(paths)


@contextmanager
def _of_unchanged(inputs: RawInputs, partial: Path) -> Iterator[None]:
    """Let a block read raw files; when one of them has changed by its end, discard what was made of them."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    try:
        inputs.check()
    except LexirecError as changed:  # it explains the failure, too
        shutil.rmtree(partial, ignore_errors=True)
        raise changed from failure
    if failure is not None:
        raise failure


def _sweep(partial: Path) -> None:
    """Empty a partial folder except for its progress and the look of the files that it rests on."""
    partial.mkdir(exist_ok=True)
    for path in partial.iterdir():
        if path.name in (PROGRESS, _RAW):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _finish(partial: Path, recipe: Recipe, seconds: float, peak_memory: int) -> None:
    files = {}
    for name, path in files_of(partial):
        if name.startswith(f"{PROGRESS}/"):
            continue
        sync(path)
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
        sync(folder)
    write_json(partial / MANIFEST, manifest.model_dump(mode="json"))

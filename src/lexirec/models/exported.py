"""Folders made for other people: written whole or not at all, with a manifest of digests that readers check."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from lexirec.core.config import Settings
from lexirec.core.digests import file_digest, files_of
from lexirec.core.environment import versions
from lexirec.core.errors import ArtifactError
from lexirec.core.files import is_alive, saying_disk_is_full, sync
from lexirec.core.manifest import FileEntry

EXPORT = "lexirec.json"
"""File that lists the files of an exported folder; it is written last."""

FORMAT = 1
"""Version of the layout of exported folders."""

CARD = "README.md"
"""The card of an exported folder; people edit it, so the manifest does not list it."""

_OF_HUBS = (".gitattributes", ".git", ".cache", ".huggingface")
"""What hubs and their clients put beside the files of a folder."""
_TEXTS = (".md", ".txt", "")
"""Suffixes of texts that people may add beside the card, such as LICENSE."""


class ExportManifest(Settings):
    """The list of an exported folder's files, with what it holds."""

    format: int
    """Version of the layout."""
    kind: str
    """`hub` for a recommender that `load_recommender` reads, `engine` for a language model with its items' tokens."""
    lexirec: str
    """Version of lexirec that wrote it."""
    name: str
    """Experiment that it was exported from, or the name of the folder."""
    recommender: str
    """Name of the recommender in the experiment."""
    files: dict[str, FileEntry]
    """Every other file but the card, by its path inside the folder."""


@contextmanager
def whole_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its place at the end; nothing of it stays after an error.

    Args:
        target: The folder to write.
        force: Replace an earlier export of that name.

    Raises:
        ArtifactError: there is something already, or the disk is full.
    """
    target = target.expanduser().resolve()
    _remove_abandoned(target)
    check_free(target, force=force)
    partial = _beside(target, "partial")
    try:
        with saying_disk_is_full(target.parent):
            partial.mkdir(parents=True)
            yield partial
            mode = stat.S_IMODE(partial.stat().st_mode) & 0o666  # safetensors writes for the owner alone
            for _, path in files_of(partial):
                path.chmod(mode)
                sync(path)
            for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
                sync(folder)
            _put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(target: Path, *, force: bool = False) -> None:
    """Check that a folder may be written: it is not there, is empty, or with `force` is an earlier export.

    Raises:
        ArtifactError: it may not.
    """
    if target.is_file():
        raise ArtifactError(f"{target} is a file; choose another folder")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not force:
        raise ArtifactError(f"the folder {target} is not empty; choose another, or --force to replace an export")
    if not (target / EXPORT).is_file():
        raise ArtifactError(f"the folder {target} holds no export ({EXPORT} is missing), so it stays; choose another")


def _put_in_place(partial: Path, target: Path) -> None:
    before = _beside(target, "old")
    if target.is_dir() and any(target.iterdir()):
        target.replace(before)
    partial.replace(target)
    sync(target.parent)
    shutil.rmtree(before, ignore_errors=True)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{what}")


def _remove_abandoned(target: Path) -> None:
    """Remove what processes that were killed had written; an export that one was replacing goes back to its place."""
    for what in ("old", "partial"):
        for path in target.parent.glob(f".*.{what}"):
            name, _, number = path.name.removesuffix(f".{what}").rpartition(".")
            if name != f".{target.name}" or not number.isdigit() or is_alive(int(number)):
                continue
            if what == "old" and not target.exists():
                path.replace(target)
            else:
                shutil.rmtree(path, ignore_errors=True)


# -------------------------------------------------------------------------------------------------------- the manifest


def write_export(folder: Path, kind: str, name: str, recommender: str) -> ExportManifest:
    """Write the manifest of a folder whose other files are complete; see `ExportManifest`."""
    files = {
        path: FileEntry(sha256=file_digest(file), bytes=file.stat().st_size)
        for path, file in files_of(folder)
        if path not in (EXPORT, CARD)
    }
    version = versions().get("lexirec", "")
    manifest = ExportManifest(
        format=FORMAT, kind=kind, lexirec=version, name=name, recommender=recommender, files=files
    )
    (folder / EXPORT).write_text(json.dumps(manifest.model_dump(), indent=2) + "\n", encoding="utf-8")
    return manifest


def read_export(folder: Path) -> ExportManifest:
    """Read the manifest of an exported folder.

    Raises:
        ArtifactError: there is none, it is damaged, or a newer version of lexirec wrote it.
    """
    file = folder / EXPORT
    try:
        values: Any = json.loads(file.read_bytes())
        number = values["format"]
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is no exported folder: there is no {EXPORT}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{file} is damaged ({' '.join(str(error).split())}); {_again()}") from None
    if number != FORMAT:
        raise ArtifactError(
            f"{file}: format {number} of exported folders is unknown; this version of lexirec reads format {FORMAT}; "
            "update lexirec, or export with this version"
        )
    try:
        manifest = ExportManifest.model_validate(values)
    except ValidationError as error:
        raise ArtifactError(f"{file} is damaged ({error.errors()[0]['msg']}); {_again()}") from None
    _check_names(file, manifest.files)
    return manifest


def _check_names(file: Path, names: Mapping[str, Any]) -> None:
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"{file} is damaged: '{name}' is no file of the folder; {_again()}")


def check_export(folder: Path, kind: str | None = None) -> ExportManifest:
    """Compare every file of an exported folder with its manifest.

    Args:
        folder: The folder.
        kind: Kind that it must be; None for any.

    Raises:
        ArtifactError: names the first file that is missing, damaged or unexpected.
    """
    manifest = read_export(folder)
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(
            f"{folder} was exported with --format {manifest.kind}; here one of --format {kind} is needed"
        )
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {_again()}")
        if path.stat().st_size != entry.bytes or file_digest(path) != entry.sha256:
            raise ArtifactError(f"{path} is damaged: its content is not that of {EXPORT}; {_again()}")
    for name, path in files_of(folder):
        if name not in manifest.files and name != EXPORT and not _may_be_added(name):
            raise ArtifactError(f"{path} does not belong to the exported folder; remove it")
    return manifest


def _may_be_added(name: str) -> bool:
    return name.startswith(_OF_HUBS) or ("/" not in name and PurePosixPath(name).suffix in _TEXTS)


def _again() -> str:
    return "fetch the folder again, or export it again"

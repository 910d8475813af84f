"""Artifact manifests: the provenance and file digests of a stored artifact, and the checks against them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.core.progress import Progress

MANIFEST = "manifest.json"
_LARGE, _CHUNK = 1 << 29, 1 << 24


class FileEntry(Settings):
    """One file of an artifact."""

    sha256: str
    """Digest of its bytes."""
    bytes: int
    """Its size."""


class Manifest(Settings):
    """Provenance of an artifact: everything needed to reproduce or refuse it."""

    stage: str
    """Name of the stage."""
    version: int
    """Version of the stage's code; raised when the same inputs would give another result."""
    key: str
    """Key the artifact is stored under."""
    settings: dict[str, Any]
    """Settings of the stage."""
    inputs: dict[str, str]
    """Key or digest of each input, by the input's name in the stage."""
    files: dict[str, FileEntry]
    """Every file, by its path inside the folder."""
    seed: int | None
    """Seed of the stage's random numbers."""
    seconds: float
    """Time the last, finishing run of the stage took."""
    peak_memory: int | None = None
    """Peak resident memory of the process during the run, in bytes; None where it was not measured."""
    created: str
    """Time of completion, UTC, ISO 8601."""
    commit: str | None
    """Commit of the lexirec checkout, `+` at the end when it had changes; None for an installed package."""
    versions: dict[str, str]
    """Versions of Python and the libraries."""
    machine: dict[str, str | int]
    """Platform, processor and number of cores."""


@dataclass(frozen=True)
class Recipe:
    """Stage, version, settings and inputs of an artifact that is still to be made."""

    stage: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int | None = None

    @property
    def key(self) -> str:
        """The key the result is stored under."""
        return stage_key(self.stage, self.version, self.settings, self.inputs, self.seed)


# --------------------------------------------------------------------------------------------------------- digests


def stage_key(
    stage: str,
    version: int,
    settings: BaseModel | Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int | None = None,
) -> str:
    """Return the SHA-256 (hexadecimal) that identifies a stage's result.

    The order of settings and inputs does not matter.
    """
    plain = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dict(settings)
    recipe = {"stage": stage, "version": version, "settings": plain, "inputs": dict(inputs), "seed": seed}
    text = json.dumps(recipe, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, or of a folder's relative paths and their digests.

    Raises:
        ArtifactError: there is nothing at `path`, or it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            inner = {p.relative_to(path).as_posix(): file_digest(p) for p in sorted(path.rglob("*")) if p.is_file()}
            return hashlib.sha256(json.dumps(inner, sort_keys=True).encode()).hexdigest()
        return _hashed(path)
    except FileNotFoundError:
        raise ArtifactError(f"there is no file {path}") from None
    except PermissionError:
        raise ArtifactError(f"{path} cannot be read: permission denied") from None


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


# ------------------------------------------------------------------------------------------------- single artifacts


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an artifact's folder.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder} holds no finished artifact: there is no {MANIFEST}") from None
    except ValidationError:
        raise ArtifactError(f"{path} is damaged; remove the folder {folder} and run the stage again") from None


def verify(folder: Path) -> Manifest:
    """Hash every file of an artifact again and compare with its manifest.

    Raises:
        ArtifactError: names the first file that is damaged, missing or unexpected.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; remove the folder {folder} and run the stage again")
        if path.stat().st_size != entry.bytes or file_digest(path) != entry.sha256:
            raise ArtifactError(f"{path} is damaged: its content has changed since it was written")
    unexpected = sorted({name for name, _ in files_of(folder)} - {*manifest.files, MANIFEST})
    if unexpected:
        raise ArtifactError(f"{folder / unexpected[0]} does not belong to the artifact; remove it")
    return manifest


def check_inputs(folder: Path, inputs: Mapping[str, str]) -> Manifest:
    """Check that an artifact was made from the given inputs (compared by name; other inputs are ignored).

    Raises:
        ArtifactError: names the input, what the artifact was made from and what it would be used with.
    """
    manifest = read_manifest(folder)
    for name, digest in inputs.items():
        made_from = manifest.inputs.get(name)
        if made_from != digest:
            have = f"{name} {made_from[:12]}" if made_from else f"no {name}"
            raise ArtifactError(
                f"{folder}: this {manifest.stage} was made from {have}, not from {name} {digest[:12]}; "
                f"use the {name} it was made from or run the stage again"
            )
    return manifest


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder with its path relative to it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path

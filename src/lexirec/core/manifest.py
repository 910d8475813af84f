"""Artifact manifests: the provenance and file digests of a stored artifact, and the checks against them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from lexirec.core.config import Settings
from lexirec.core.digests import file_digest, files_of
from lexirec.core.errors import ArtifactError

MANIFEST = "manifest.json"


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


# ------------------------------------------------------------------------------------------------- single artifacts


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an artifact's folder.

    Raises:
        ArtifactError: there is none, it is damaged, or another version of lexirec wrote it.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder} holds no finished artifact: there is no {MANIFEST}") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        strange = [str(each["loc"][-1]) for each in error.errors() if each["type"] == "extra_forbidden"]
        if len(strange) == error.error_count():
            raise ArtifactError(
                f"{path} was written by another version of lexirec (this one does not know '{strange[0]}'); "
                "use that version, or another --store"
            ) from None
        raise ArtifactError(f"{path} is damaged; {_again(folder)}") from None
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"{path} is damaged: '{name}' is no file of the artifact; {_again(folder)}")
    return manifest


def verify(folder: Path, digest: Callable[[Path], str] | None = file_digest) -> Manifest:
    """Compare an artifact with its manifest, and the manifest with the key that the artifact is stored under.

    Args:
        folder: Of the artifact.
        digest: Returns the SHA-256 of a file; None compares sizes only.

    Raises:
        ArtifactError: names the first file that is damaged, missing or unexpected.
    """
    manifest = read_manifest(folder)
    check_key(folder, manifest)
    check_files(folder, manifest, digest)
    return manifest


def check_files(folder: Path, manifest: Manifest, digest: Callable[[Path], str] | None = file_digest) -> None:
    """Compare the files of an artifact with its manifest; see `verify`."""
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {_again(folder)}")
        if path.stat().st_size != entry.bytes or (digest is not None and digest(path) != entry.sha256):
            raise ArtifactError(f"{path} is damaged: its content has changed since it was written; {_again(folder)}")
    unexpected = _names_in(folder) - {*manifest.files, MANIFEST}
    strange = [name for name in sorted(unexpected) if not any(file.startswith(f"{name}/") for file in manifest.files)]
    if strange:
        raise ArtifactError(f"{folder / strange[0]} does not belong to the artifact; remove it")


def check_key(folder: Path, manifest: Manifest) -> None:
    """Check that stage, version, settings, inputs and seed of a manifest give the key the artifact is stored under.

    Raises:
        ArtifactError: they give another one, so the manifest was changed or the folder was moved.
    """
    given = (manifest.stage, manifest.version, manifest.settings, manifest.inputs, manifest.seed)
    try:
        key = stage_key(*given)
    except ValueError:  # a number that is none
        key = ""
    if not key == manifest.key == folder.name or folder.parent.name != manifest.stage:
        raise ArtifactError(
            f"{folder / MANIFEST} is damaged: its stage, settings or inputs are not those of the folder's name; "
            f"{_again(folder)}"
        )


def _names_in(folder: Path) -> set[str]:
    """Return all files below a folder, links that lead nowhere or to folders included."""
    links = (path for path in folder.rglob("*") if path.is_symlink() and not path.is_file())
    return {name for name, _ in files_of(folder)} | {path.relative_to(folder).as_posix() for path in links}


def _again(folder: Path) -> str:
    return f"remove the folder {folder} and run the stage again"


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

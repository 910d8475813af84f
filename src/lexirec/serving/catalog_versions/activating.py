"""Make a version of a catalogue the active one, and remove versions that are no longer kept."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lexirec.core.files import write_json
from lexirec.core.store import Store
from lexirec.models.living_catalog import KIND, VERSIONS, CatalogState
from lexirec.serving.catalog_versions.encodings import encodings_folder

KEPT = 10
"""Newest versions that are kept besides the active one and that of training."""


def activate(store: Store, folder: Path, state: CatalogState) -> None:
    """Write which version is active, then remove those that are not kept: the caller holds the catalogue's lock."""
    numbers = {version.number for version in state.versions[-KEPT:]} | {0, state.active}
    numbers |= {state.present.parent or 0}
    kept = tuple(version for version in state.versions if version.number in numbers)
    content: dict[str, Any] = {"active": state.active, "versions": [asdict(version) for version in kept]}
    write_json(folder / VERSIONS, content)
    for version in state.versions:
        if version.number not in numbers:
            for unused in (store.path(KIND, version.key), encodings_folder(store, version.key)):
                shutil.rmtree(unused, ignore_errors=True)

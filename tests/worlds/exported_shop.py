"""Exports of the small finished experiments of `grown_shop`, made once per process and only read."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from lexirec.core.progress import quiet
from lexirec.core.store import MANIFEST, Store
from lexirec.workflows.distribution.export import ExportSettings, export_hub
from tests.worlds.grown_shop import unpack

MEMBERS = (("old-gram", "model"), ("old-tsrec", "reinforced"), ("old-gram", "fused"))
"""A recommender of GRAM, one of TS-Rec, and an ensemble of GRAM and memory."""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-exported-")


@cache
def shop() -> Store:
    """Return a store whose ensemble is whole, too: the archive lacks its drawing."""
    store = unpack(Path(_folder().name))
    for file in store.root.glob(f"fused/*/{MANIFEST}"):
        values = json.loads(file.read_text())
        values["files"] = {name: entry for name, entry in values["files"].items() if (file.parent / name).is_file()}
        file.write_text(json.dumps(values))
    return store


@cache
def exported(name: str, part: str) -> Path:
    """Return the hub folder of a recommender, with all columns of the catalogue."""
    target = Path(_folder().name) / "exports" / f"{name}-{part}"
    with quiet():
        export_hub(shop(), name, target, ExportSettings(("all",)), wanted=part)
    return target

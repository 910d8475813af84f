"""Make the artifact of a version: the extended recommender, its vectors, and where the items went."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lexirec.core.digests import file_digest, files_of
from lexirec.core.errors import DataError, LexirecError
from lexirec.core.files import write_json
from lexirec.core.manifest import Recipe
from lexirec.core.store import Store
from lexirec.models.extension.artifacts import artifacts_of
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.extend import Extended, extend
from lexirec.models.living_catalog import KIND, RECOMMENDER, Version
from lexirec.models.loading import load_recommender
from lexirec.serving.catalog_versions.checks import check_version
from lexirec.serving.catalog_versions.encodings import extend_encodings

_CODE = 1
"""Code version of the artifacts; raise it when the same changes give another result."""
FACTS, MOVED, VECTORS = "version.json", "moved.npy", "vectors.npy"


@dataclass(frozen=True)
class Parent:
    """What a version is made from: number and key of its parent, the parent's folder, and the trained artifact."""

    version: Version
    folder: Path
    trained: Path


def make_version(store: Store, parent: Parent, changes: ItemChanges, number: int, about: Mapping[str, str]) -> Version:
    """Make and check a version, and store it as one complete artifact; nothing is stored where a check fails.

    Args:
        store: Of the experiment.
        parent: What it is made from.
        changes: What changes.
        number: Of the version.
        about: Name of the experiment and of the recommender, for the manifest.

    Raises:
        DataError: the changes cannot be made, every added item is refused, or a check fails.
    """
    settings = {**about, "number": number, "parent": parent.version.number}
    inputs = {"trained": parent.trained.name, "parent": parent.version.key, "changes": digest_of(changes)}
    recipe = Recipe(KIND, _CODE, settings, inputs)
    started = time.monotonic()
    try:
        with store.write(recipe) as out:
            if out is not None:
                _write(store, parent, changes, out)
    except LexirecError:
        shutil.rmtree(store.partial(KIND, recipe.key), ignore_errors=True)  # a failed publish leaves nothing
        raise
    content = json.loads((store.path(KIND, recipe.key) / FACTS).read_text(encoding="utf-8"))
    created, counts = content["created"], content["counts"]
    seconds = round(time.monotonic() - started, 3)
    return Version(number, recipe.key, parent.version.number, created, counts, seconds)


def digest_of(changes: ItemChanges) -> str:
    """Return a digest of changes: of the rows in their order, the removed ids and the files of vectors."""
    total = hashlib.sha256(json.dumps([list(changes.removed), sorted(changes.vectors)]).encode())
    if changes.rows is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, changes.rows.schema) as writer:
            writer.write_table(changes.rows.combine_chunks())
        total.update(sink.getvalue())
    for name in sorted(changes.vectors):
        total.update(file_digest(Path(changes.vectors[name])).encode())
    return total.hexdigest()


def _write(store: Store, parent: Parent, changes: ItemChanges, out: Path) -> None:
    before = load_recommender(parent.folder)
    artifacts = artifacts_of(store, parent.trained)
    extended = extend(before, changes, artifacts)
    change = extended.change
    _refuse_nothing_left(changes, extended)
    extended.recommender.save(out / RECOMMENDER)
    _share_files(parent.folder, out / RECOMMENDER)
    made = load_recommender(out / RECOMMENDER)
    extend_encodings(store, parent.version.key, change, before, made, out)
    check_version(made, before, change)
    np.save(out / MOVED, change.moved, allow_pickle=False)
    encoder = ItemEncoder(next(iter(artifacts.parts.values()), artifacts), changes.vectors)
    if encoder.artifacts.sources:
        np.save(out / VECTORS, encoder.vectors(change.after), allow_pickle=False)
    counts = {
        "items": len(change.after),
        "trained": change.trained,
        "added": len(change.added),
        "reworded": len(change.reworded),
        "removed": len(change.before) - len(change.kept),
        "refused": len(extended.refused),
    }
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_json(out / FACTS, {"created": created, "counts": counts, "refused": dict(extended.refused)})


def _refuse_nothing_left(changes: ItemChanges, extended: Extended) -> None:
    """Fail where all that was asked for is refused."""
    if extended.refused and not (changes.removed or len(extended.change.added) or len(extended.change.reworded)):
        item, why = next(iter(extended.refused.items()))
        raise DataError(f"none of {len(extended.refused):,} items can be added; item '{item}': {why}")


def _share_files(parent: Path, folder: Path) -> None:
    """Replace files that are equal to the parent's by links to them: most weights do not change."""
    theirs: dict[str, Any] = dict(files_of(parent))
    for name, path in files_of(folder):
        old = theirs.get(name)
        if old is None or old.stat().st_size != path.stat().st_size or file_digest(old) != file_digest(path):
            continue
        link = path.with_name(f".{path.name}.link")
        try:
            os.link(old, link)
        except OSError:  # the file system has no links
            continue
        link.replace(path)

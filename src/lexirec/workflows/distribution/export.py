"""Export a finished recommender as a folder for the Hugging Face hub: files, manifest of digests, model card."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexirec.core.errors import ArtifactError, SettingsError, did_you_mean
from lexirec.core.files import write_json
from lexirec.core.runs import find_run, run_seeds
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.models.exported import CARD, ExportManifest, check_free, whole_folder, write_export
from lexirec.models.hub_layout import GENERATIVE, recommender_folders, to_hub_layout
from lexirec.models.item_windows import LIMITS
from lexirec.models.living_catalog import LivingRecommender
from lexirec.models.loading import folder_named, load_named
from lexirec.models.saving import MANIFEST, read_manifest
from lexirec.nn.pretrained import SCRATCH
from lexirec.pipeline.remeasure import FIGURES, evaluated
from lexirec.workflows.distribution.card import LOCAL, CardFacts, Part, hub_card

_log = logging.getLogger(__name__)
COUNTING = ("memory", "transitions", "item-knn", "ease", "graph-heuristic")
"""Kinds of baselines that keep counts of items taken together or one after another."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class ExportSettings:
    """What an export holds.

    Attributes:
        columns: columns of the catalogue that are exported besides ids, texts and windows; `("all",)` for every one.
        license: of the exported weights, as the hub names it, such as `apache-2.0`; None where it is unknown.
        force: replace an earlier export.
    """

    columns: Sequence[str] = ()
    license: str | None = None
    force: bool = False


def export_hub(
    store: Store, name: str, target: Path, settings: ExportSettings | None = None, *, wanted: str | None = None
) -> ExportManifest:
    """Write a finished recommender as a folder that `load_recommender` reads and that can be uploaded to the hub.

    Args:
        store: of finished experiments.
        name: of an experiment, or the folder of a saved recommender.
        target: the folder to write; it appears when it is complete.
        settings: what it holds.
        wanted: name of one of the experiment's recommenders; by default the last trained model or the best baseline.

    Raises:
        ArtifactError: there is no such recommender, or the folder is not free.
        SettingsError: the catalogue has no such column.
    """
    settings = settings or ExportSettings()
    check_free(target, force=settings.force)
    known = evaluated(store, name, wanted)
    recommender: Any = load_named(store, name, wanted)
    if isinstance(recommender, LivingRecommender) and recommender.has_facts:
        _log.warning("facts of today and hidden items of %s are not exported: they are the store's alone", name)
    with whole_folder(target, force=settings.force) as folder:
        recommender.save(folder)
        dropped = _drop_columns(folder, settings.columns)
        to_hub_layout(folder)
        write_json(folder / FIGURES, known.as_json())
        facts = CardFacts(
            known,
            tuple(parts_of(folder)),
            backbone_name(store, name),
            settings.license,
            dropped,
            seeds=() if folder_named(name) is not None else tuple(run_seeds(store, known.name)),
        )
        (folder / CARD).write_text(hub_card(facts, folder), encoding="utf-8")
        return write_export(folder, "hub", known.name, known.recommender)


def backbone_name(store: Store, name: str) -> str | None:
    """Return the backbone that an experiment names, `local` for a folder, or None where it is unknown."""
    if folder_named(name) is not None:
        return None
    given = (find_run(store, name).settings.get("backbone") or {}).get("name")
    if given is None:
        return None
    if given.startswith(SCRATCH):
        return str(given)
    return given if _HUB_NAME.fullmatch(given) and not Path(given).exists() else LOCAL


def parts_of(folder: Path) -> Iterator[Part]:
    """Yield what an exported folder is made of: the recommender and, of an ensemble, its parts."""
    for inner in sorted(recommender_folders(folder)):
        manifest = read_manifest(inner)
        name = "" if inner == folder else inner.name
        kind = str(manifest.get("scorer", manifest["kind"]))
        yield Part(
            name,
            kind,
            "" if inner == folder else f"{inner.relative_to(folder).as_posix()}/",
            backbone=manifest["kind"] in GENERATIVE,
            counts=kind in COUNTING,
            added=None if manifest.get("trained") is None else manifest["items"] - manifest["trained"],
        )


def _drop_columns(folder: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Leave out the columns of the catalogue that no model reads and nobody asked for; return their names."""
    catalog = Catalog.load(folder / "catalog")
    names = catalog.table.column_names
    if unknown := [name for name in wanted if name not in (*names, "all")]:
        hint = did_you_mean(unknown[0], names)
        raise SettingsError(f"the catalog has no column '{unknown[0]}'; it has {', '.join(names)}, or give all.{hint}")
    needed = {"item_id", *catalog.text_fields, *LIMITS, *wanted}
    dropped = () if "all" in wanted else tuple(name for name in names if name not in needed)
    if not dropped:
        return ()
    smaller = Catalog(catalog.table.drop_columns(list(dropped)), catalog.text_fields, catalog.rejected)
    for inner in recommender_folders(folder):
        manifest = read_manifest(inner)
        if manifest["catalog"] != catalog.digest:
            raise ArtifactError(f"{inner.name}: its catalog is another than the ensemble's; save it again")
        smaller.save(inner / "catalog")
        text = json.dumps({**manifest, "catalog": smaller.digest}, indent=2)
        (inner / MANIFEST).write_text(text + "\n", encoding="utf-8")
    _log.info("columns that are not exported: %s (--with-column NAME or all)", ", ".join(dropped))
    return dropped

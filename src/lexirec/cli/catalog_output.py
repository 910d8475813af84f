"""Output of `lexirec catalog`: versions, differences, what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from lexirec.cli.output import new_table, put, put_json

if TYPE_CHECKING:
    from lexirec.models.living_catalog import CatalogState, Facts, Version
    from lexirec.serving.catalog_versions.differences import Difference
    from lexirec.serving.catalog_versions.staging import Staged

_SHOWN = 5


def print_published(version: Version, refused: Mapping[str, str], as_json: bool) -> None:
    """Print a new version, and why items were refused."""
    if as_json:
        put_json({**asdict(version), "refused": dict(refused)})
        return
    counts = version.counts
    put(
        f"Version {version.number} is active: {counts['items']:,} items, {counts['added']:,} added, "
        f"{counts['reworded']:,} reworded, {counts['removed']:,} removed ({version.seconds:.1f} s)."
    )
    for item, why in list(refused.items())[:_SHOWN]:
        put(f"Refused: item '{item}': {why}")
    if len(refused) > _SHOWN:
        put(f"… and {len(refused) - _SHOWN:,} more items are refused.")


def print_difference(first: int, second: int, found: Difference, as_json: bool) -> None:
    """Print how two versions differ."""
    if as_json:
        put_json({"from": first, "to": second, **{name: list(ids) for name, ids in asdict(found).items()}})
        return
    put(f"From version {first} to version {second}:")
    for name, ids in asdict(found).items():
        put(f"{'identifiers moved' if name == 'moved' else name}: {len(ids):,}{_some(ids)}")


def print_versions(state: CatalogState, staged: Staged, facts: Facts, as_json: bool) -> None:
    """Print the kept versions, the newest first, and what waits."""
    waiting = {"rows": len(staged.ids), "removed": len(staged.removed)}
    if as_json:
        versions = [asdict(version) for version in state.versions]
        put_json({"active": state.active, "versions": versions, "staged": waiting, "hidden": sorted(facts.hidden)})
        return
    table = new_table("version", "made from", "items", "added", "reworded", "removed", "made", "seconds")
    for version in reversed(state.versions):
        mark = " (active)" if version.number == state.active else ""
        counts = [str(version.counts.get(name, "")) for name in ("items", "added", "reworded", "removed")]
        parent = "training" if not version.number else str(version.parent)
        table.add_row(f"{version.number}{mark}", parent, *counts, version.created, f"{version.seconds:.1f}")
    put(table)
    put(
        f"Staged: {waiting['rows']:,} new or reworded items, {waiting['removed']:,} removals. "
        f"Hidden: {len(facts.hidden):,} items."
    )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN])
    return f" ({shown}{', …' if len(ids) > _SHOWN else ''})" if ids else ""

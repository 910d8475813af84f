"""Counts of the catalogue, for metrics: items by state."""

from __future__ import annotations

from collections.abc import Mapping

from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.catalog_versions.staging import Staged


def items_by_state(snapshot: Snapshot, staged: Staged) -> Mapping[str, int]:
    """Return how many items are live, staged, hidden and removed, of what answers and what waits."""
    items = len(snapshot.catalog)
    live = items if snapshot.shown is None else int(snapshot.shown.sum())
    removed = sum(each in snapshot.numbers for each in staged.removed)
    new = sum(each not in snapshot.numbers for each in staged.ids)
    return {"live": live, "staged": new, "hidden": max(0, items - live - removed), "removed": removed}

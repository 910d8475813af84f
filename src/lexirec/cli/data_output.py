"""What `bench`, `init` and `import` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lexirec.cli.output import new_table, put, put_json
from lexirec.data.importers.base import Imported
from lexirec.reporting.tables import protocol_table
from lexirec.workflows.scaffold import Draft


def figures(found: Mapping[str, Any], as_json: bool) -> None:
    """Print a benchmark's figures."""
    if as_json:
        put_json(dict(found))
    else:
        put(protocol_table(found))


def drafted(draft: Draft, as_json: bool) -> None:
    """Print which experiment was written, what it takes the columns for, and what to do next."""
    columns = {"item_id": "item_id", "user_id": "user_id"} | draft.guess.item_columns | draft.guess.interaction_columns
    if as_json:
        put_json(
            {
                "path": str(draft.path),
                "items": draft.items,
                "users": draft.users,
                "events": draft.events,
                **asdict(draft.guess),
                "remarks": draft.remarks,
            }
        )
        return
    put(f"{draft.path}: {draft.items:,} items, {draft.users:,} users, {draft.events:,} events")
    told = new_table("ours", "column")
    for ours in ("item_id", *draft.guess.text, "user_id", *filter(None, [draft.guess.order])):
        told.add_row(ours, columns.get(ours, ours))
    if draft.guess.published_split:
        told.add_row("split", columns.get("split", "split"))
    put(told, *(f"- {remark}" for remark in draft.remarks))
    put(
        f"next: lexirec plan {draft.path}; lexirec run {draft.path}; lexirec recommend {draft.path.stem} --history ITEM"
    )


def imported(found: Imported, destination: Path) -> None:
    """Print what an import wrote and left out."""
    put(f"{destination}: {found.items:,} items, {found.users:,} users, {found.interactions:,} interactions")
    for reason, count in found.left_out.items():
        put(f"left out: {count:,} {reason}")

"""What the command line prints: results on stdout, as tables for people or JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog
    from lexirec.evaluation.evaluator import Report
    from lexirec.models.recommend import Recommendation


_WIDE = 140
_COLORS = {"done": "green", "ok": "green", "new": "cyan", "unfinished": "yellow", "stale": "yellow", "note": "yellow"}


def put(*parts: RenderableType) -> None:
    """Print to stdout; where that is no terminal, without colours and wide enough for every table.

    What users named, such as titles, ids and paths, is printed as it is, brackets included; lines of text are left to
    the terminal to break, so that a path can be copied.
    """
    console = Console(file=sys.stdout, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=_WIDE, markup=False, emoji=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def put_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def new_table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def colored(state: str) -> Text:
    """Return a state in its colour: done, new, stale, a problem, …."""
    return Text(state, style=_COLORS.get(state, "red"))


def recommendations(found: Sequence[Recommendation], catalog: Catalog, as_json: bool) -> None:
    """Print recommended items, with the items that speak for them where they were asked for."""
    if as_json:
        put_json([{key: value for key, value in asdict(each).items() if key != "because" or value} for each in found])
        return
    explained = any(each.because for each in found)
    table = new_table("", "item", "score", "title", *(["because of"] if explained else []))
    names = dict(zip(catalog.item_ids, catalog.field(catalog.text_fields[0]), strict=True)) if explained else {}
    for place, each in enumerate(found, start=1):
        because = "; ".join(f"{names[item] or item} ({share:.0%})" for item, share in each.because)
        table.add_row(str(place), each.item_id, f"{each.score:.4g}", each.title, *([because] if explained else []))
    put(table if found else "nothing is left to recommend; loosen the filters or add --include-seen")


def report(found: Report, as_json: bool) -> None:
    """Print an evaluation."""
    if as_json:
        put_json(found.as_json())
    else:
        put(*found.tables())

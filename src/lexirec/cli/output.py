"""Output of the command line: results on stdout, as tables for people or JSON for machines.

The primitives (`put`, `put_json`, `new_table`, `colored`), and what the commands of `recommend`, `data` and `bench`
print. Nothing heavy is imported here, so that `lexirec recommend` loads neither reports nor workflows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from lexirec.core.errors import SettingsError
from lexirec.core.printable import printable_console, printable_json

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog
    from lexirec.data.importers.base import Imported
    from lexirec.evaluation.evaluator import Report
    from lexirec.models.recommend import Recommendation
    from lexirec.workflows.scaffold import Draft


_WIDE = 140
_COLORS = {"done": "green", "ok": "green", "new": "cyan", "unfinished": "yellow", "stale": "yellow", "note": "yellow"}


def put(*parts: RenderableType) -> None:
    """Print to stdout; where stdout is no terminal, without colours and wide enough for every table.

    Titles, ids and paths are printed as they are, brackets included (no markup). Long lines of text are wrapped by the
    terminal, not by rich, so that a path can be copied.
    """
    console = Console(file=sys.stdout, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=_WIDE, markup=False, emoji=False)
    printable_console(console)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def put_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    sys.stdout.write(printable_json(value, indent=2) + "\n")


def check_place(option: str, path: Path | None, *, folder: bool = False) -> None:
    """Check before a computation that its result can be written to a path, and make the folder that it is in.

    Args:
        option: The option that names the path.
        path: Of the file, or of the folder; None where there is no such wish.
        folder: The path is that of a folder.

    Raises:
        SettingsError: it cannot.
    """
    if path is None:
        return
    place = path if folder else path.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        wrong = "it is a folder" if not folder and path.is_dir() else ""
        wrong = wrong or ("" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written")
    except (FileExistsError, NotADirectoryError):
        wrong = f"{next(each for each in (place, *place.parents) if each.is_file())} is a file, not a folder"
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
    if wrong:
        raise SettingsError(f"{option} {path}: {wrong}; choose another path")


def new_table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def colored(state: str) -> Text:
    """Return a state in its colour: done, new, stale, a problem, …."""
    return Text(state, style=_COLORS.get(state, "red"))


def print_recommendations(found: Sequence[Recommendation], catalog: Catalog, as_json: bool) -> None:
    """Print recommended items, with the items of the history they are explained by where that was requested."""
    if as_json:
        put_json([{key: value for key, value in asdict(each).items() if key != "because" or value} for each in found])
        return
    explained = any(each.because for each in found)
    table = new_table("", "item", "score", "title", *(["because of"] if explained else []))
    titles = dict(zip(catalog.item_ids, catalog.field(catalog.text_fields[0]), strict=True)) if explained else {}
    for rank, each in enumerate(found, start=1):
        because = "; ".join(f"{titles[item] or item} ({share:.0%})" for item, share in each.because)
        table.add_row(str(rank), each.item_id, f"{each.score:.4g}", each.title, *([because] if explained else []))
    put(table if found else "no item is left to recommend; loosen the filters or add --include-seen")


def print_report(report: Report, as_json: bool) -> None:
    """Print an evaluation."""
    if as_json:
        put_json(report.as_json())
    else:
        put(*report.tables())


def print_import(imported: Imported, destination: Path) -> None:
    """Print the sizes of the imported tables, the counts of rows left out, and what the importer had to decide."""
    put(f"{destination}: {imported.items:,} items, {imported.users:,} users, {imported.interactions:,} interactions")
    for reason, count in imported.left_out.items():
        put(f"left out: {count:,} {reason}")
    for remark in imported.remarks:
        put(f"- {remark}")


def print_draft(draft: Draft, as_json: bool) -> None:
    """Print the path of a drafted experiment, the inferred columns, remarks, and the next commands."""
    guess = draft.guess
    if as_json:
        sizes = {"path": str(draft.path), "items": draft.items, "users": draft.users, "events": draft.events}
        formats = guess.formats.model_dump(exclude_defaults=True)
        put_json({**sizes, **asdict(guess), "formats": formats, "remarks": draft.remarks})
        return
    put(f"{draft.path}: {draft.items:,} items, {draft.users:,} users, {draft.events:,} events")
    columns = {**guess.item_columns, **guess.interaction_columns}
    names = ["item_id", *guess.text, "user_id", *filter(None, [guess.order]), *(["split"] * guess.published_split)]
    table = new_table("lexirec's name", "column")
    for name in names:
        table.add_row(name, columns.get(name, name))
    put(table, *(f"- {remark}" for remark in draft.remarks))
    put(
        f"next: lexirec plan {draft.path}; lexirec run {draft.path}; lexirec recommend {draft.path.stem} --history ITEM"
    )


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """Print the figures of a benchmark."""
    from lexirec.reporting.tables import protocol_table

    if as_json:
        put_json(dict(figures))
    else:
        put(protocol_table(figures))

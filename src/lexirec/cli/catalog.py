"""Commands that change the catalogue of a finished experiment without training: `lexirec catalog …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, StoreOption, WithOption, app
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.serving.catalog_versions.catalog import LivingCatalog

catalog = typer.Typer(help="Add, change, hide and remove items without training.", no_args_is_help=True)
app.add_typer(catalog, name="catalog")

NameOption = Annotated[str, typer.Argument(metavar="NAME", help="A finished experiment.")]
FileOption = Annotated[
    Path, typer.Argument(metavar="FILE", help="Items: Parquet, CSV/TSV or JSON Lines, a row per item.")
]
IdsOption = Annotated[list[str], typer.Argument(metavar="ID...", help="Item ids.")]
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="Our name of a column of the file.")
]


@catalog.command()
def add(
    name: NameOption,
    file: FileOption,
    column: ColumnOption = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option("--vectors", metavar="SOURCE=FILE", help="Vectors of the new items, where theirs were a file."),
    ] = None,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Stage new items.

    They can be recommended after `lexirec catalog publish`.
    """
    living = _living(store, name, with_)
    given = _pairs("--vectors", vectors)
    files = {source: str(Path(path).resolve()) for source, path in given.items()}
    number = living.add(_rows(living, file, column), files)
    _tell(living, json, {"staged": number}, f"{number:,} new items are staged")


@catalog.command()
def update(
    name: NameOption,
    file: FileOption,
    column: ColumnOption = None,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Change items: texts with the next version, prices and other facts at once.

    The file has the columns that change and item_id.
    """
    living = _living(store, name, with_)
    texts, facts = living.update(_rows(living, file, column, partial=True))
    words = f"texts of {texts:,} items are staged, facts of {facts:,} items have changed"
    _tell(living, json, {"staged": texts, "changed": facts}, words)


@catalog.command()
def hide(
    name: NameOption,
    ids: IdsOption,
    show: Annotated[bool, typer.Option("--show", help="Show hidden items again.")] = False,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hide items at once: they are not recommended until they are shown again."""
    living = _living(store, name, with_)
    number = living.hide(ids, hidden=not show)
    _tell(living, json, {"changed": number}, f"{number:,} items are {'shown' if show else 'hidden'}")


@catalog.command()
def remove(
    name: NameOption,
    ids: IdsOption,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove items: hidden at once, they leave the catalogue with the next version."""
    living = _living(store, name, with_)
    number = living.remove(ids)
    _tell(living, json, {"removed": number}, f"{number:,} items are hidden and leave with the next version")


@catalog.command()
def publish(
    name: NameOption, json: JsonOption = False, with_: WithOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """Make a version of the staged changes, check it, and make it active.

    `lexirec recommend` then answers from it. A failure changes nothing.
    """
    from lexirec.cli import catalog_output

    living = _living(store, name, with_)
    version = living.publish()
    catalog_output.print_published(version, living.refused(version.number), json)


@catalog.command()
def diff(
    name: NameOption,
    first: Annotated[int | None, typer.Option("--from", help="Version; by default the parent of the other.")] = None,
    second: Annotated[int | None, typer.Option("--to", help="Version; by default the active one.")] = None,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what was added, removed and renamed between two versions, and that no identifier moved."""
    from lexirec.cli import catalog_output

    living = _living(store, name, with_)
    state = living.state
    after = state.present if second is None else state.find(second)
    before = first if first is not None else (after.parent or 0)
    catalog_output.print_difference(before, after.number, living.difference(before, after.number), json)


@catalog.command()
def rollback(
    name: NameOption,
    to: Annotated[int | None, typer.Option("--to", help="Version; by default the one before the active one.")] = None,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make an earlier version active; staged changes stay staged."""
    living = _living(store, name, with_)
    version = living.rollback(to)
    _tell(living, json, {"active": version.number}, f"version {version.number} is active")


@catalog.command()
def versions(
    name: NameOption, json: JsonOption = False, with_: WithOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """List the versions that are kept, and what is staged."""
    from lexirec.cli import catalog_output

    living = _living(store, name, with_)
    catalog_output.print_versions(living.state, living.staged, living.facts, json)


def _living(store: Path, name: str, wanted: str | None) -> LivingCatalog:
    from lexirec.serving.catalog_versions.catalog import LivingCatalog

    return LivingCatalog.of(Store(store), name, wanted)


def _rows(living: LivingCatalog, file: Path, columns: list[str] | None, *, partial: bool = False) -> Any:
    """Read a file of items; with `partial` it needs no text columns."""
    from lexirec.cli.item_files import read_rows

    return read_rows(file, living.catalog(), _pairs("--column", columns), partial=partial)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    from lexirec.core.errors import SettingsError

    pairs = {}
    for each in given or []:
        name, sign, value = each.partition("=")
        if not (name and sign and value):
            raise SettingsError(f"{option} {each}: write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def _tell(living: LivingCatalog, as_json: bool, values: dict[str, int], words: str) -> None:
    from lexirec.cli import output

    if as_json:
        output.put_json({"name": living.name, "recommender": living.part, **values})
    else:
        output.put(f"{words}.")

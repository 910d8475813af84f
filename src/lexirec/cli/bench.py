"""Commands that measure speed: of decoding, training, GRPO, trie and service beside a reference path; and growth."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, NameArgument, StoreOption, app

bench = typer.Typer(help="Measure speed against a reference path in the same run.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command()
def decode(
    family: Annotated[str, typer.Option(help="late-fusion (GRAM) or causal (TS-Rec).")] = "late-fusion",
    json: JsonOption = False,
) -> None:
    """Time trie-constrained beam search against `generate` of transformers with a prefix function."""
    _run("decode", json, family=family)


@bench.command()
def train(json: JsonOption = False) -> None:
    """Time an epoch with packed prefixes against one with a sample per prefix."""
    _run("train", json)


@bench.command()
def grpo(json: JsonOption = False) -> None:
    """Time a GRPO step that reads each prompt once against one that reads it for every completion."""
    _run("grpo", json)


@bench.command()
def trie(json: JsonOption = False) -> None:
    """Time building the trie and walking it."""
    _run("trie", json)


@bench.command()
def serve(
    name: NameArgument,
    requests: Annotated[int, typer.Option(min=200, help="Requests of the closed loop.")] = 3000,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Load the service on loopback, beside one request at a time in Python and `generate` behind FastAPI."""
    from lexirec.cli import output
    from lexirec.workflows.benchmarks.serve import bench_serve

    output.print_figures(bench_serve(name, store, requests), json)


@bench.command()
def growth(
    items: Annotated[str, typer.Option(help="Sizes of the catalogues, with commas between them.")] = "1_000,10_000",
    users_per_item: Annotated[float, typer.Option(min=0.01, help="Users, relative to the items.")] = 1.0,
    events_per_user: Annotated[float, typer.Option(min=3, help="Events of a user on average.")] = 8.0,
    folder: Annotated[
        Path | None, typer.Option(help="Folder that keeps shops, artifacts and figures; an interrupted run resumes.")
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Stop after this stage; may be repeated.")] = None,
    limit: Annotated[float, typer.Option(min=1, help="Seconds after which a stage is stopped.")] = 3600,
    json: JsonOption = False,
) -> None:
    """Time every stage and a training step on synthetic shops of several sizes, and fit how they grow."""
    from lexirec.cli import output
    from lexirec.core.errors import SettingsError
    from lexirec.workflows.benchmarks.growth import Shops, bench_growth, growth_rows

    try:
        sizes = tuple(int(each) for each in items.split(","))
    except ValueError:
        raise SettingsError(f"--items {items}: give whole numbers with commas between them: 10_000,100_000") from None
    output.check_place("--folder", folder, folder=True)
    figures = bench_growth(Shops(sizes, users_per_item, events_per_user), folder, stages=stage or (), limit=limit)
    if json:
        output.put_json(figures)
        return
    head, *rows = growth_rows(figures)
    table = output.new_table(*head)
    for row in rows:
        table.add_row(*row)
    output.put(table)


def _run(name: str, as_json: bool, **options: str) -> None:
    from lexirec.cli import output

    measure = getattr(import_module(f"lexirec.workflows.benchmarks.{name}"), f"bench_{name}")
    output.print_figures(measure(**options), as_json)

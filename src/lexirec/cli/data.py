"""Commands that get data: converters and downloads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexirec.cli.options import JsonOption, app
from lexirec.data.importers.registry import FORMATS


@app.command("import")
def import_(
    format: Annotated[str, typer.Argument(help=f"{', '.join(FORMATS)}.")],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the raw files.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder for the two tables.")],
    on_bad_row: Annotated[
        Literal["error", "reject"], typer.Option(help="Stop at a bad row, or put bad rows aside and count them.")
    ] = "error",
) -> None:
    """Turn other people's files into items.parquet and interactions.parquet."""
    from lexirec.cli import data_output
    from lexirec.data.importers.registry import import_dataset

    data_output.imported(import_dataset(format, source, destination, on_bad_row=on_bad_row), destination)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="movielens/1m, amazon-2014/Beauty, …")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    mirror: Annotated[str | None, typer.Option(help="Address that serves the same files.")] = None,
) -> None:
    """Download the official files of a public data set, with resume and checksum."""
    from lexirec.data.importers.download import fetch as download

    for path in download(dataset, folder, mirror=mirror):
        typer.echo(path)


@app.command()
def init(
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Table of items: Parquet, CSV/TSV or JSON Lines.")],
    interactions: Annotated[Path, typer.Argument(metavar="EVENTS", help="Table of events: who took what, and when.")],
    out: Annotated[Path, typer.Option(help="The experiment file that is written.")] = Path("experiment.toml"),
    family: Annotated[str, typer.Option(help="gram or tsrec.")] = "gram",
    json: JsonOption = False,
) -> None:
    """Look at two tables, and write an experiment for them: columns, texts, split and sizes as they seem right."""
    from lexirec.cli import data_output
    from lexirec.workflows.scaffold import draft_experiment

    data_output.drafted(draft_experiment(items, interactions, out, family=family), json)


bench = typer.Typer(help="Measure speed against a reference path in the same run.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command("decode")
def bench_decode(
    family: Annotated[str, typer.Option(help="late-fusion or causal.")] = "late-fusion", json: JsonOption = False
) -> None:
    """Time trie-constrained beams against `generate` with a prefix function."""
    _show_benchmark("decode", json, family=family)


@bench.command("train")
def bench_train(json: JsonOption = False) -> None:
    """Time an epoch with packed prefixes against one sample per prefix."""
    _show_benchmark("train", json)


@bench.command("grpo")
def bench_grpo(json: JsonOption = False) -> None:
    """Time a GRPO step that reads each prompt once against one that repeats it for every completion."""
    _show_benchmark("grpo", json)


@bench.command("trie")
def bench_trie(json: JsonOption = False) -> None:
    """Time building the trie and walking it."""
    _show_benchmark("trie", json)


def _show_benchmark(name: str, json: bool, **options: str) -> None:

    from lexirec.cli import data_output

    data_output.figures(
        getattr(import_module(f"lexirec.workflows.benchmarks.{name}"), f"bench_{name}")(**options), json
    )

"""Commands that bring in data: conversion and download of public data sets, and a first experiment for two tables."""

from __future__ import annotations

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
        Literal["error", "reject"], typer.Option(help="Stop at the first bad row, or skip and count bad rows.")
    ] = "error",
) -> None:
    """Convert a public data set into the two tables.

    Writes items.parquet and interactions.parquet.
    """
    from lexirec.cli import output
    from lexirec.data.importers.registry import import_dataset

    output.check_place("DST", destination, folder=True)
    output.print_import(import_dataset(format, source, destination, on_bad_row=on_bad_row), destination)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="movielens/1m, amazon-2014/Beauty, …")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    mirror: Annotated[str | None, typer.Option(help="Address that serves the same files.")] = None,
) -> None:
    """Download the official files of a public data set.

    Interrupted downloads are resumed, and checksums are verified where the publisher has one.
    """
    from lexirec.cli.output import check_place
    from lexirec.data.importers.download import fetch as download

    check_place("DIR", folder, folder=True)
    for path in download(dataset, folder, mirror=mirror):
        typer.echo(path)


@app.command()
def init(
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Table of items: Parquet, CSV/TSV or JSON Lines.")],
    interactions: Annotated[
        Path, typer.Argument(metavar="EVENTS", help="Table of events: user, item and, if known, time.")
    ],
    out: Annotated[Path, typer.Option(help="Experiment file to write.")] = Path("experiment.toml"),
    family: Annotated[str, typer.Option(help="Model family: gram or tsrec.")] = "gram",
    time_column: Annotated[
        str | None, typer.Option(help='Column of the times of events; "" if the file has their order.')
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help='Format of times in text, as strptime has it, such as "%d.%m.%Y %H:%M".')
    ] = None,
    time_zone: Annotated[
        str, typer.Option(help="Zone of times in text that name none, such as Europe/Berlin.")
    ] = "UTC",
    json: JsonOption = False,
) -> None:
    """Write an experiment for two tables.

    Columns, texts, split and sizes are inferred from the tables.
    """
    from lexirec.cli import output
    from lexirec.data.inference.times import TimeChoice
    from lexirec.workflows.scaffold import draft_experiment

    output.check_place("--out", out)
    times = TimeChoice(time_column, time_format, time_zone)
    output.print_draft(draft_experiment(items, interactions, out, family=family, times=times), json)

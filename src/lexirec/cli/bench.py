"""Commands that measure speed: decoding, training, GRPO, the trie and the service, each against a reference path."""

from __future__ import annotations

from importlib import import_module
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


def _run(name: str, as_json: bool, **options: str) -> None:
    from lexirec.cli import output

    measure = getattr(import_module(f"lexirec.workflows.benchmarks.{name}"), f"bench_{name}")
    output.print_figures(measure(**options), as_json)

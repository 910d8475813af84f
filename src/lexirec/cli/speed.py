"""Commands that measure speed against a reference path in the same run."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from lexirec.cli.options import JsonOption, app

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
    from lexirec.cli import output as showing

    showing.figures(getattr(import_module(f"lexirec.workflows.benchmarks.{name}"), f"bench_{name}")(**options), json)

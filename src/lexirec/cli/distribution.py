"""Commands that give a recommender to others: `export` and `parity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, NameArgument, StoreOption, WithOption, app
from lexirec.core.store import Store


@app.command()
def export(
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write.")],
    format: Annotated[
        Literal["hub", "engine"],
        typer.Option(help="hub: what load_recommender reads. engine: a causal model for vLLM or SGLang."),
    ] = "hub",
    with_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Also export this column of the catalogue, or all; may be repeated. Texts always are.",
        ),
    ] = None,
    license: Annotated[str | None, typer.Option(help="Licence on the card, such as apache-2.0.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    with_: WithOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a finished recommender as a folder for the Hugging Face hub or for an inference engine."""
    from lexirec.cli import output
    from lexirec.workflows.distribution.export import ExportSettings, export_hub

    settings = ExportSettings(tuple(with_column or ()), license, force)
    if format == "hub":
        done = export_hub(Store(store), name, folder, settings, wanted=with_)
    else:
        from lexirec.workflows.distribution.engine import export_engine

        done = export_engine(Store(store), name, folder, settings, wanted=with_)
    size = sum(entry.bytes for entry in done.files.values())
    if json:
        output.put_json({"folder": str(folder), "format": done.kind, "files": len(done.files), "bytes": size})
        return
    output.put(f"{folder}: {len(done.files)} files, {size / 1e6:,.1f} MB, and README.md, which names open questions")


@app.command()
def parity(
    name: NameArgument,
    engine: Annotated[Path, typer.Argument(metavar="FOLDER", help="An exported folder of --format engine.")],
    backend: Annotated[
        str, typer.Option(help="transformers, or vllm (written from its documentation).")
    ] = "transformers",
    histories: Annotated[int, typer.Option(help="Number of random histories.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the histories.")] = 0,
    dtype: Annotated[str, typer.Option(help="Of the engine's weights: float32, bfloat16, float16.")] = "float32",
    tolerance: Annotated[float, typer.Option(help="Greatest difference of a log-probability, in nats.")] = 1e-3,
    with_: WithOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare an engine's log-probabilities along identifiers with those of the recommender."""
    from dataclasses import asdict

    from lexirec.cli import output
    from lexirec.core.errors import DataError, SettingsError
    from lexirec.workflows.distribution.parity import ParitySettings, compare_engine

    if not tolerance >= 0:
        raise SettingsError(f"--tolerance {tolerance}: give nats of at least 0, such as 0.001")
    settings = ParitySettings(backend, histories, seed, dtype)
    found = compare_engine(Store(store), name, engine, settings, wanted=with_)
    if json:
        output.put_json(asdict(found))
    else:
        output.put(
            f"{found.tokens} log-probabilities after {found.histories} histories: greatest difference "
            f"{found.greatest:.2e}, mean {found.mean:.2e}; padded rows have at most {found.filler_mass:.2%} of a step"
        )
    if found.greatest > tolerance:
        raise DataError(f"the greatest difference is {found.greatest:.2e}, more than --tolerance {tolerance:g}")

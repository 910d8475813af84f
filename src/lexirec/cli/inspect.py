"""Commands that look at what there is: results, damages, leaks, differences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lexirec.cli.options import DEFAULT_STORE, SYSTEMS, JsonOption, SetOption, StoreOption, app
from lexirec.core.store import Store


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one, all are listed.")] = None,
    stage: Annotated[str | None, typer.Argument(help="One of its stages.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what an experiment found, or what a stage made and from what."""
    from lexirec.cli import inspect_output

    if name is None:
        inspect_output.experiments(Store(store))
    elif stage is None:
        inspect_output.experiment(Store(store), name)
    else:
        inspect_output.stage(Store(store), name, stage)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one, the whole store.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hash every stored file again and name those that are damaged."""
    from lexirec.cli import inspect_output

    if inspect_output.damages(Store(store), name):
        raise typer.Exit(1)


@app.command()
def doctor(store: StoreOption = DEFAULT_STORE) -> None:
    """Look at versions, threads, device, memory and disk, and say what to do."""
    from lexirec.cli import inspect_output
    from lexirec.workflows.doctor import examine

    if inspect_output.findings(examine(store)):
        raise typer.Exit(1)


@app.command()
def audit(
    what: Annotated[str, typer.Argument(metavar="EXPERIMENT.toml|NAME", help="A file, or a finished experiment.")],
    sets: SetOption = None,
    fail_on: Annotated[
        Literal["leak", "distortion", "note", "never"], typer.Option(help="Exit with 1 when so much was found.")
    ] = "leak",
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Look for leaks and for whatever else makes figures other than they seem; nothing is trained."""
    from lexirec.cli import inspect_output
    from lexirec.workflows.audit import run

    found = run.audit(Store(store), what, sets or [])
    inspect_output.audit(found, json)
    if fail_on != "never" and found.at_least(fail_on):
        raise typer.Exit(1)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...", help=SYSTEMS)],
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others are compared with; by default the first.")
    ] = None,
    metric: Annotated[str, typer.Option(help="recall, ndcg or mrr, at any place of the lists.")] = "ndcg@10",
    of: Annotated[str | None, typer.Option(metavar="RECOMMENDER", help="The one meant where a name has none.")] = None,
    seen: Annotated[
        Literal["excluded", "included"] | None, typer.Option(help="Seen items; by default as the experiment says.")
    ] = None,
    json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the differences into FILE.png and FILE.svg.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say which systems are better beyond chance, and by how much; they must have been measured alike.

    Intervals and p-values come from the paired bootstrap over users; Holm corrects for many comparisons.
    """
    from lexirec.cli import inspect_output
    from lexirec.workflows.comparison.systems import compare_named

    found = compare_named(Store(store), names, baseline=baseline, metric=metric, of=of, seen=seen)
    inspect_output.comparison(Store(store), names, found, json)
    if figure is not None:
        drawn = found.draw(figure.parent, figure.name.removesuffix(".png").removesuffix(".svg"))
        typer.echo(f"lexirec: drawn into {drawn}", err=True)


@app.command()
def table(
    names: Annotated[list[str], typer.Argument(metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...", help=SYSTEMS)],
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the others are compared with; by default the first.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="May be repeated; by default recall and ndcg at 5 and 10.")
    ] = None,
    seen: Annotated[
        Literal["excluded", "included"] | None, typer.Option(help="Seen items; by default both, a table each.")
    ] = None,
    json: JsonOption = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write it as Markdown, too.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw its last metric into FILE.png and FILE.svg.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Put many systems into one table: metrics with intervals, seeds, and which differences are shown."""
    from lexirec.cli import inspect_output
    from lexirec.workflows.comparison import table as tabulating

    found = tabulating.results_table(
        Store(store),
        names,
        baseline=baseline,
        metrics=metrics or tabulating.METRICS,
        seen=[seen] if seen else ["excluded", "included"],
    )
    inspect_output.results(found, json)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found.markdown(), encoding="utf-8")
        typer.echo(f"lexirec: written to {out}", err=True)
    if figure is not None:
        drawn = found.draw(figure.parent, figure.name.removesuffix(".png").removesuffix(".svg"))
        typer.echo(f"lexirec: drawn into {drawn}", err=True)


@app.command()
def analyze(
    names: Annotated[list[str], typer.Argument(metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...", help=SYSTEMS)],
    k: Annotated[int, typer.Option("-k", help="Places that count.")] = 10,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND[=VALUE]", help="category=FIELD, popularity=PARTS, memorisation …; by default all."),
    ] = None,
    of: Annotated[str | None, typer.Option(metavar="RECOMMENDER", help="The one meant where a name has none.")] = None,
    seen: Annotated[
        Literal["excluded", "included"] | None, typer.Option(help="Seen items; by default as the experiment says.")
    ] = None,
    json: JsonOption = False,
    figure: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw everything into this folder.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say where systems are right, what their lists are like, and what their probabilities are worth.

    Cases are divided by popularity, history, category, memorisation …; intervals come from the bootstrap over users.
    """
    from lexirec.cli import inspect_output
    from lexirec.workflows.comparison.analyze import analyze_named

    found = analyze_named(Store(store), names, k=k, by=by or [], of=of, seen=seen)
    inspect_output.analysis(found, json)
    if figure is not None:
        typer.echo(f"lexirec: drawn into {', '.join(map(str, found.draw(figure)))}", err=True)

"""Commands that examine results: `show`, `verify`, `doctor`, `audit`, `compare`, `table` and `analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexirec.cli.options import (
    DEFAULT_STORE,
    BaselineOption,
    JsonOption,
    OfOption,
    SeenOption,
    SetOption,
    StoreOption,
    SystemsArgument,
    WithOption,
    app,
)
from lexirec.core.errors import SettingsError
from lexirec.core.printable import printable
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.workflows.comparison.compare import Comparison
    from lexirec.workflows.comparison.table import ResultsTable


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one, all are listed.")] = None,
    stage: Annotated[str | None, typer.Argument(help="One of its stages.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show the results of an experiment or of one stage."""
    from lexirec.cli import inspect_output

    if name is None:
        inspect_output.print_experiments(Store(store))
    elif stage is None:
        inspect_output.print_experiment(Store(store), name)
    else:
        inspect_output.print_stage(Store(store), name, stage)


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="An experiment or an exported folder; without one, the whole store.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Evaluate again, and compare with the metrics of this JSON file."),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Greatest difference, as a share of the file's value.")] = 0.01,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="Experiment whose data an exported folder is evaluated on.")
    ] = None,
    with_: WithOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hash every stored file again and list the damaged ones; or evaluate again and compare the metrics with a file."""
    from lexirec.cli import inspect_output

    if against is None:
        if inspect_output.print_damages(Store(store), name):
            raise typer.Exit(1)
        return
    if name is None:
        raise SettingsError("verify --against: name the experiment or the exported folder that is evaluated again")
    from lexirec.workflows.distribution.verify import verify_figures

    found = verify_figures(Store(store), name, against, tolerance=tolerance, wanted=with_, data=data)
    inspect_output.print_verification(found, json)
    found.check(tolerance)


@app.command()
def doctor(
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Examine this folder, GGUF file or hub name instead.")
    ] = None,
    keep_layers: Annotated[
        int | None, typer.Option(min=1, help="Cut the backbone to its first so many layers.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a step of the probe.")] = 4,
    length: Annotated[int, typer.Option(min=8, help="Tokens of a row.")] = 64,
    probe: Annotated[bool, typer.Option(help="Take a few training steps to measure memory and seconds.")] = True,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Check versions, threads, device, memory and disk, and advise; or examine a pretrained backbone.

    With --backbone: what the model is, and the memory and time that training it takes on this machine. A model that
    cannot serve is refused in one line.
    """
    from lexirec.cli import inspect_output
    from lexirec.workflows.doctor import examine

    if backbone is None:
        if inspect_output.print_findings(examine(store), json):
            raise typer.Exit(1)
        return
    from lexirec.workflows.backbones.examine import examine_backbone
    from lexirec.workflows.backbones.needs import Batch

    report = examine_backbone(backbone, keep_layers, Batch(batch_size, length), probe=probe)
    inspect_output.print_backbone(report, json)


@app.command()
def audit(
    what: Annotated[str, typer.Argument(metavar="EXPERIMENT.toml|NAME", help="A file, or a finished experiment.")],
    sets: SetOption = None,
    fail_on: Annotated[
        Literal["leak", "distortion", "note", "never"],
        typer.Option(help="Exit with status 1 on findings at least this severe."),
    ] = "leak",
    refit: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="Make learned parts again that took at most so long, without held-out events, and compare.",
        ),
    ] = None,
    json: JsonOption = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write it as a page.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Check an experiment for leaks and distorted figures, and whether counting may solve its data.

    Nothing is trained without --refit.
    """
    from lexirec.cli import inspect_output
    from lexirec.cli.output import check_place
    from lexirec.workflows.audit import run

    check_place("--html", html)
    result = run.audit(Store(store), what, sets or [], refit_minutes=refit)
    inspect_output.print_audit(result, json)
    if html is not None:
        from lexirec.workflows.audit.page import write_page

        write_page(result, html)
    if fail_on != "never" and result.at_least(fail_on):
        raise typer.Exit(1)


@app.command()
def compare(
    names: SystemsArgument,
    baseline: BaselineOption = None,
    metric: Annotated[str, typer.Option(help="recall, ndcg or mrr, at any cut-off.")] = "ndcg@10",
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND[=VALUE]", help="Also compare within slices: transition, hops, rarity, category …"),
    ] = None,
    of: OfOption = None,
    seen: SeenOption = None,
    json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the differences into FILE.png and FILE.svg.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Test which systems differ significantly, and by how much.

    All must be evaluated under one protocol. Intervals and p-values come from the paired bootstrap over users; Holm
    corrects for many comparisons. Trained systems need three seeds for a difference to be shown; with fewer, the
    verdict is "in these users".
    """
    from lexirec.cli import inspect_output
    from lexirec.cli.output import check_place
    from lexirec.workflows.comparison.systems import compare_named

    check_place("--figure", figure)
    comparison = compare_named(Store(store), names, baseline=baseline, metric=metric, of=of, seen=seen)
    slices = []
    if by:
        from lexirec.workflows.comparison.sliced import compare_slices_named

        slices = compare_slices_named(Store(store), names, comparison, by, of=of)
    inspect_output.print_comparison(Store(store), names, comparison, slices, as_json=json)
    if figure is not None:
        _draw(comparison, figure)


@app.command()
def table(
    names: SystemsArgument,
    baseline: BaselineOption = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="May be repeated; by default recall and ndcg at 5 and 10.")
    ] = None,
    seen: Annotated[
        Literal["excluded", "included"] | None,
        typer.Option(help="Whether seen items are excluded; by default both, in a table each."),
    ] = None,
    json: JsonOption = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Also write it as Markdown.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw its last metric into FILE.png and FILE.svg.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print one table of many systems.

    It shows metrics with intervals, the number of seeds, and which differences are shown (▲ ▼), or significant in these
    users with fewer than three seeds (△ ▽).
    """
    from lexirec.cli import inspect_output
    from lexirec.cli.output import check_place
    from lexirec.workflows.comparison import table as tabulating

    check_place("--out", out)
    check_place("--figure", figure)
    results = tabulating.results_table(
        Store(store),
        names,
        baseline=baseline,
        metrics=metrics or tabulating.METRICS,
        seen=[seen] if seen else ["excluded", "included"],
    )
    inspect_output.print_results(results, json)
    if out is not None:
        out.write_text(printable(results.markdown()), encoding="utf-8")
        typer.echo(f"lexirec: wrote {out}", err=True)
    if figure is not None:
        _draw(results, figure)


@app.command()
def analyze(
    names: SystemsArgument,
    k: Annotated[int, typer.Option("-k", help="Cut-off of the lists.")] = 10,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND[=VALUE]", help="category=FIELD, popularity=PARTS, memorisation …; by default all."),
    ] = None,
    of: OfOption = None,
    seen: SeenOption = None,
    json: JsonOption = False,
    figure: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw all figures into this folder.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Break metrics down by groups of cases.

    Groups are popularity, history, category, memorisation …; beyond-accuracy metrics and calibration are printed, too.
    Intervals come from the bootstrap over users.
    """
    from lexirec.cli import inspect_output
    from lexirec.cli.output import check_place
    from lexirec.workflows.comparison.analyze import analyze_named

    check_place("--figure", figure, folder=True)
    analysis = analyze_named(Store(store), names, k=k, by=by or [], of=of, seen=seen)
    inspect_output.print_analysis(analysis, json)
    if figure is not None:
        typer.echo(f"lexirec: drew {', '.join(map(str, analysis.draw(figure)))}", err=True)


def _draw(result: Comparison | ResultsTable, figure: Path) -> None:
    drawn = result.draw(figure.parent, figure.name.removesuffix(".png").removesuffix(".svg"))
    typer.echo(f"lexirec: drew {drawn}", err=True)

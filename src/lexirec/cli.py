"""The command line: the verbs of the library; results to stdout, progress and logs to stderr.

Heavy libraries are imported inside the commands, so that `lexirec --help` answers at once. A user's mistake is one line
on stderr and exit status 1.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lexirec.artifacts import Store
from lexirec.errors import LexirecError

if TYPE_CHECKING:
    from lexirec.experiment import Experiment

app = typer.Typer(
    name="lexirec",
    help="Generative recommendation: from two tables to trained, measured and explained recommendations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StoreOption = Annotated[Path, typer.Option("--store", envvar="LEXIREC_STORE", help="Folder of the artifacts.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Overrides a setting; may be repeated.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stage after which to stop.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
ExperimentArgument = Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", show_default=False)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="An experiment, or a saved recommender's folder.")]
WithOption = Annotated[
    str | None, typer.Option("--with", metavar="RECOMMENDER", help="A baseline's name instead of the best.")
]
DEFAULT_STORE = Path("store")
_SYSTEMS = (
    "Finished experiments; one alone means all its recommenders. Seeds of one system stand together: "
    "gram=beauty:model@0,1,2 (or @all), gram=beauty-s0,beauty-s1 where each has a name of its own."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` are those of the process by default."""
    try:
        app(args=arguments)
    except LexirecError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.filename or 'the disk'}: {error.strerror}; free space or choose another place")
    except MemoryError:
        _fail("not enough memory; try smaller batches or a machine with more (lexirec doctor shows what there is)")


def _fail(message: str) -> None:
    typer.echo(f"lexirec: {' '.join(message.split())}", err=True)
    raise SystemExit(1)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from lexirec.provenance import versions

        typer.echo(f"lexirec {versions().get('lexirec', '(not installed)')}")
        raise typer.Exit


@app.callback()
def _prepare(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Neither progress nor logs, only warnings.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    _share_the_cores()


def _share_the_cores() -> None:
    """Let threads that wait for each other sleep soon: where other programs run, spinning slowed training severalfold.

    Read by OpenMP when torch is loaded, which happens inside the commands; what the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _log_to_stderr(level: int) -> None:
    from lexirec import progress

    console = progress.console()
    handler: logging.Handler
    if console.is_terminal:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("lexirec")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forks after use would otherwise warn


# ---------------------------------------------------------------------------------------------------- doing the work


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the report and the artifacts go.")] = Path("demo"),
    family: Annotated[str, typer.Option(help="What is demonstrated: gram or tsrec.")] = "gram",
    sets: SetOption = None,
) -> None:
    """Train, measure and recommend on the built-in toy shop."""
    from lexirec import showing
    from lexirec.demo import demonstrate

    showing.demonstration(demonstrate(folder, sets or [], family))


@app.command()
def run(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run an experiment; what is done already is taken from the store, what was cut off is carried on."""
    from lexirec import pipeline, showing

    loaded = _load(experiment, sets)
    try:
        done = pipeline.run(loaded, Store(store), until)
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    showing.run_result(Store(store), loaded, done, until)


@app.command()
def tune(
    experiment: ExperimentArgument,
    space: Annotated[Path, typer.Argument(metavar="SPACE.toml", help="What may be tried.", show_default=False)],
    trials: Annotated[int | None, typer.Option(help="Trials of every recommender.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of every recommender instead.")] = None,
    sets: SetOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Search for good settings, with the same budget for every recommender, on validation cases alone.

    Writes best.toml, which `run` takes. Killed at any moment, the same command carries on.
    """
    from lexirec import showing, tuning

    found = tuning.tune(experiment, space, Store(store), sets=sets or [], trials=trials, minutes=minutes)
    showing.tuned(found, json)


@app.command()
def transfer(
    source: Annotated[Path, typer.Argument(metavar="SOURCE.toml", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TARGET.toml", show_default=False)],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="source.… and target.… override the files; may be repeated."),
    ] = None,
    fine_tune: Annotated[
        bool, typer.Option("--fine-tune", help="Let it learn on the target, too, beside one that learns there alone.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What results are found under.")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Say which stages are done, without computing.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Carry what a model learned on one catalogue to another, and measure it there."""
    from lexirec import showing, transferring
    from lexirec.transfer_settings import load_transfer

    loaded = load_transfer(source, target, [*(sets or []), *(["fine_tune=true"] if fine_tune else [])], name)
    if only_plan:
        showing.steps(transferring.plan_transfer(loaded, Store(store)))
        return
    try:
        done = transferring.transfer(loaded, Store(store))
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    showing.transferred(Store(store), done)


@app.command()
def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.toml", show_default=False)],
    only_plan: Annotated[bool, typer.Option("--plan", help="Say what there is to do, without computing.")] = False,
    sets: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes; by default below the store.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run one experiment in many variants, and report what differs beyond chance and at what cost."""
    from lexirec.studying import study_command

    try:
        failed = study_command(file, sets or [], Store(store), out, only_plan=only_plan)
    except KeyboardInterrupt:
        typer.echo("lexirec: interrupted; the same command carries on from here", err=True)
        raise
    if failed:
        raise typer.Exit(1)


@app.command()
def plan(
    experiment: ExperimentArgument,
    sets: SetOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say which stages are done, new, stale or unfinished, without computing anything."""
    from lexirec import pipeline, showing

    showing.steps(pipeline.plan(_load(experiment, sets), Store(store), until))


def _load(path: Path, sets: list[str] | None) -> Experiment:
    from lexirec.experiment import load_experiment

    return load_experiment(path, sets or [])


# --------------------------------------------------------------------------------------------------- looking at it


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one, all are listed.")] = None,
    stage: Annotated[str | None, typer.Argument(help="One of its stages.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what an experiment found, or what a stage made and from what."""
    from lexirec import showing

    if name is None:
        showing.experiments(Store(store))
    elif stage is None:
        showing.experiment(Store(store), name)
    else:
        showing.stage(Store(store), name, stage)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="An experiment; without one, the whole store.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hash every stored file again and name those that are damaged."""
    from lexirec import showing

    if showing.damages(Store(store), name):
        raise typer.Exit(1)


@app.command()
def doctor(store: StoreOption = DEFAULT_STORE) -> None:
    """Look at versions, threads, device, memory and disk, and say what to do."""
    from lexirec import showing
    from lexirec.doctor import examine

    if showing.findings(examine(store)):
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
    from lexirec import auditing, showing

    found = auditing.audit(Store(store), what, sets or [])
    showing.audit(found, json)
    if fail_on != "never" and found.at_least(fail_on):
        raise typer.Exit(1)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...", help=_SYSTEMS)],
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
    from lexirec import showing
    from lexirec.named_systems import compare_named

    found = compare_named(Store(store), names, baseline=baseline, metric=metric, of=of, seen=seen)
    showing.comparison(Store(store), names, found, json)
    if figure is not None:
        drawn = found.draw(figure.parent, figure.name.removesuffix(".png").removesuffix(".svg"))
        typer.echo(f"lexirec: drawn into {drawn}", err=True)


@app.command()
def analyze(
    names: Annotated[list[str], typer.Argument(metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...", help=_SYSTEMS)],
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
    from lexirec import showing
    from lexirec.analyzing import analyze_named

    found = analyze_named(Store(store), names, k=k, by=by or [], of=of, seen=seen)
    showing.analysis(found, json)
    if figure is not None:
        typer.echo(f"lexirec: drawn into {', '.join(map(str, found.draw(figure)))}", err=True)


# ---------------------------------------------------------------------------------------------------------- using it


@app.command()
def recommend(
    name: NameArgument,
    more: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Further items of the history.")] = None,
    history: Annotated[
        list[str] | None, typer.Option("--history", metavar="ID...", help="Items, oldest first.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    allow: Annotated[list[str] | None, typer.Option(metavar="FILTER", help="brand=Acme, price<20, title~oak.")] = None,
    deny: Annotated[
        list[str] | None, typer.Option(metavar="FILTER", help="The same, for what must not appear.")
    ] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items of the history may appear.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say which items of the history speak for each.")] = False,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Recommend items for a history of item ids."""
    from lexirec import results, showing
    from lexirec.recommending import recommend as make

    recommender = results.load_named(Store(store), name, with_)
    ids = [*(history or []), *(more or [])]
    found = make(
        recommender, ids, k=k, exclude_seen=not include_seen, allow=allow or [], deny=deny or [], explain=explain
    )
    showing.recommendations(found, recommender.catalog, json)


@app.command()
def evaluate(
    name: NameArgument,
    fold: Annotated[Literal["test", "validation"], typer.Option(help="Which cases.")] = "test",
    seen: Annotated[
        Literal["excluded", "included"] | None, typer.Option(help="Seen items; by default as the experiment says.")
    ] = None,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Measure an experiment's recommender on its own data; stored figures are not computed again."""
    from lexirec import results, showing

    showing.report(results.evaluate_named(Store(store), name, fold, with_, seen=seen), json)


# ------------------------------------------------------------------------------------------------------ measuring speed

bench = typer.Typer(help="Measure speed against a reference path in the same run.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command("decode")
def bench_decode(
    family: Annotated[str, typer.Option(help="late-fusion or causal.")] = "late-fusion", json: JsonOption = False
) -> None:
    """Time trie-constrained beams against `generate` with a prefix function."""
    _show_benchmark("bench_decode", json, family=family)


@bench.command("train")
def bench_train(json: JsonOption = False) -> None:
    """Time an epoch with packed prefixes against one sample per prefix."""
    _show_benchmark("bench_train", json)


@bench.command("grpo")
def bench_grpo(json: JsonOption = False) -> None:
    """Time a GRPO step that reads each prompt once against one that repeats it for every completion."""
    _show_benchmark("bench_grpo", json)


@bench.command("trie")
def bench_trie(json: JsonOption = False) -> None:
    """Time building the trie and walking it."""
    _show_benchmark("bench_trie", json)


def _show_benchmark(name: str, json: bool, **options: str) -> None:
    from lexirec import showing

    showing.figures(getattr(import_module("lexirec.benchmarking"), name)(**options), json)


# ------------------------------------------------------------------------------------------------------- getting data


@app.command("import")
def import_(
    format: Annotated[
        str, typer.Argument(help="gram, amazon-2014, amazon-2018, amazon-2023, movielens, yelp, recbole.")
    ],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the raw files.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder for the two tables.")],
    on_bad_row: Annotated[
        Literal["error", "reject"], typer.Option(help="Stop at a bad row, or put bad rows aside and count them.")
    ] = "error",
) -> None:
    """Turn other people's files into items.parquet and interactions.parquet."""
    from lexirec import showing
    from lexirec.data.importers import import_dataset

    showing.imported(import_dataset(format, source, destination, on_bad_row=on_bad_row), destination)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="movielens/1m, amazon-2014/Beauty, …")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    mirror: Annotated[str | None, typer.Option(help="Address that serves the same files.")] = None,
) -> None:
    """Download the official files of a public data set, with resume and checksum."""
    from lexirec.data.fetch import fetch as download

    for path in download(dataset, folder, mirror=mirror):
        typer.echo(path)


if __name__ == "__main__":
    main()

"""The typer application, and the options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lexirec.core.shipped_files import given_file

app = typer.Typer(
    name="lexirec",
    help="Train, evaluate and use generative recommenders: language models that generate the next item's identifier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StoreOption = Annotated[Path, typer.Option("--store", envvar="LEXIREC_STORE", help="Folder of the artifact store.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override a setting; may be repeated.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_argument(metavar: str, help: str | None = None) -> Any:
    """Return the argument of a settings file: a path, or `lexirec:NAME` for one shipped with lexirec."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, parser=given_file)


ExperimentArgument = Annotated[Path, settings_argument("EXPERIMENT.toml")]
NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="An experiment, the folder of a recommender, or org/name of the hub."),
]
WithOption = Annotated[
    str | None,
    typer.Option("--with", metavar="RECOMMENDER", help="One of its recommenders; by default the best."),
]
SystemsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[LABEL=]NAME[:RECOMMENDER][@SEED,SEED...]...",
        help="Finished experiments; a single name means all its recommenders. Seeds of one system are written "
        "gram=beauty:model@0,1,2 (or @all), or gram=beauty-s0,beauty-s1 where each seed has a name of its own.",
    ),
]
BaselineOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="System the others are compared with; by default the first.")
]
OfOption = Annotated[
    str | None, typer.Option("--of", metavar="RECOMMENDER", help="Recommender of names that give none.")
]
SeenOption = Annotated[
    Literal["excluded", "included"] | None,
    typer.Option(help="Whether seen items are excluded; by default as the experiment says."),
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Hash all stored files that are used again, not only those that look changed.")
]
DEFAULT_STORE = Path("store")

"""The application that commands join, and the options that several of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lexirec.core.resources import given_file

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


def settings_argument(metavar: str, help: str | None = None) -> Any:
    """Return the argument of a settings file: a path, or `lexirec:NAME` for one that comes with lexirec."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, parser=given_file)


ExperimentArgument = Annotated[Path, settings_argument("EXPERIMENT.toml")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="An experiment, or a saved recommender's folder.")]
WithOption = Annotated[
    str | None, typer.Option("--with", metavar="RECOMMENDER", help="A baseline's name instead of the best.")
]
DEFAULT_STORE = Path("store")
SYSTEMS = (
    "Finished experiments; one alone means all its recommenders. Seeds of one system stand together: "
    "gram=beauty:model@0,1,2 (or @all), gram=beauty-s0,beauty-s1 where each has a name of its own."
)
"""Help of commands that take several systems."""

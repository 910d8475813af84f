"""Commands about what a service shows: `evaluate-online` and `simulate`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, SetOption, StoreOption, app
from lexirec.cli.serve import ConfigOption, open_database_of, serve_settings
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.serving.schemas.evaluation import EvaluationAnswer

UrlOption = Annotated[str | None, typer.Option("--url", help="Address of a running service.")]
KeyOption = Annotated[str | None, typer.Option("--key", envvar="LEXIREC_API_KEY", help="Key of the service.")]


@app.command(name="evaluate-online")
def evaluate_online(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The experiment that is served.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days before now.")] = 7,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, in UTC, in place of --days.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=200, help="Places of a list that count.")] = 10,
    variant: Annotated[str | None, typer.Option(help="Only active, candidate or pinned.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what came of the lists that a service answered: of its database, or of a running one with --url."""
    from lexirec.cli.online_output import print_online
    from lexirec.cli.output import put_json

    if variant is not None and variant not in ("active", "candidate", "pinned"):
        raise SettingsError(f"--variant {variant}: there are active, candidate and pinned")
    if (name is None) == (url is None):
        raise SettingsError("evaluate-online: name the experiment that is served, or give --url of a running service")
    day = since.date() if since is not None else None
    if url is not None:
        from lexirec.client import Client

        with Client(url, key, timeout=120.0) as client:
            found = client.evaluation(variant, days=days, k=k, since=day)
    else:
        from lexirec.serving.answering.online_evaluation import Asked

        found = _of_database(str(name), Asked(variant, days, k, day), (config, set_, store))
    if json:
        put_json(found.model_dump(mode="json"))
    else:
        print_online(found)


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The experiment on the toy shop that is served.")],
    url: Annotated[str, typer.Option("--url", help="Address of its service, started with a simulated clock.")],
    key: KeyOption = None,
    visits: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most visits in all.")] = 3_000,
    days: Annotated[int, typer.Option(min=1, max=366, help="Simulated days.")] = 28,
    shoppers: Annotated[int | None, typer.Option(min=1, help="Shoppers that take part; by default all.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=200, help="Places of a list.")] = 10,
    bias: Annotated[float, typer.Option(min=0, max=5, help="Place r is looked at with probability r^-BIAS.")] = 0.7,
    new_items: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of places for items newer than the model.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, max=256, help="Visits at a time.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of what shoppers decide.")] = 0,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Let the toy shop's shoppers, whose tastes are known, walk a running service for simulated weeks."""
    from lexirec.cli.online_output import print_simulation
    from lexirec.cli.output import put_json
    from lexirec.workflows.simulation import Walk, shoppers_of
    from lexirec.workflows.simulation import simulate as walk_service

    walk = Walk(visits, days, shoppers, k=k, bias=bias, new_items=new_items, connections=connections, seed=seed)
    done = walk_service(shoppers_of(Store(store), name), url, walk, key)
    if json:
        put_json(done)
    else:
        print_simulation(done)


def _of_database(name: str, asked: object, options: tuple[Path | None, list[str] | None, Path]) -> EvaluationAnswer:
    from lexirec.serving.answering.online_evaluation import Asked, evaluate_online
    from lexirec.serving.problems import ProblemError
    from lexirec.serving.starting import served_items

    assert isinstance(asked, Asked), "made above"
    config, set_, store = options
    settings = serve_settings(config, set_ or []).settings
    with open_database_of(config, set_, store, name) as database:
        try:
            return evaluate_online(database, settings, len(served_items(Store(store), name)), asked)
        except ProblemError as error:
            raise SettingsError(str(error)) from None

"""Commands that use a trained recommender."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, NameArgument, StoreOption, WithOption, app
from lexirec.core.store import Store


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
    from lexirec.cli import output
    from lexirec.models import loading
    from lexirec.models.recommend import recommend as make

    recommender = loading.load_named(Store(store), name, with_)
    ids = [*(history or []), *(more or [])]
    found = make(
        recommender, ids, k=k, exclude_seen=not include_seen, allow=allow or [], deny=deny or [], explain=explain
    )
    output.recommendations(found, recommender.catalog, json)


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
    from lexirec.cli import output
    from lexirec.pipeline import results

    output.report(results.evaluate_named(Store(store), name, fold, with_, seen=seen), json)

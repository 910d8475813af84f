"""Commands that use a trained recommender: `recommend` and `evaluate`.

`recommend` imports neither the pipeline nor trainers, reports or workflows, so that its first answer comes soon.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lexirec.cli.options import (
    DEFAULT_STORE,
    CheckOption,
    JsonOption,
    NameArgument,
    SeenOption,
    StoreOption,
    WithOption,
    app,
)
from lexirec.core.store import Store


@app.command()
def recommend(
    name: NameArgument,
    more: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Further items of the history.")] = None,
    history: Annotated[
        list[str] | None, typer.Option("--history", metavar="ID...", help="Item ids, oldest first.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Only items such as brand=Acme, price<20, title~oak; may be repeated."),
    ] = None,
    deny: Annotated[
        list[str] | None, typer.Option(metavar="FILTER", help="No items such as these; may be repeated.")
    ] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items of the history may appear.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which items of the history explain each recommendation.")
    ] = False,
    json: JsonOption = False,
    with_: WithOption = None,
    check: CheckOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Recommend items for a history of item ids."""
    from lexirec.cli import output
    from lexirec.models import loading
    from lexirec.models import recommend as recommending

    recommender = loading.load_named(Store(store, check=check), name, with_)
    items = recommending.recommend(
        recommender,
        [*(history or []), *(more or [])],
        k=k,
        exclude_seen=not include_seen,
        allow=allow or [],
        deny=deny or [],
        explain=explain,
    )
    output.print_recommendations(items, recommender.catalog, json)


@app.command()
def evaluate(
    name: NameArgument,
    fold: Annotated[Literal["test", "validation"], typer.Option(help="Cases to evaluate on.")] = "test",
    seen: SeenOption = None,
    json: JsonOption = False,
    with_: WithOption = None,
    check: CheckOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Evaluate a recommender on test or validation cases.

    Stored results are reused.
    """
    from lexirec.cli import output
    from lexirec.pipeline import results

    output.print_report(results.evaluate_named(Store(store, check=check), name, fold, with_, seen=seen), json)

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

AllowOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FILTER", help="Only items such as brand=Acme, price<20, title~oak; may be repeated."),
]
DenyOption = Annotated[
    list[str] | None, typer.Option(metavar="FILTER", help="No items such as these; may be repeated.")
]
AllowItemOption = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="No items but those with these ids; may be repeated.")
]
DenyItemOption = Annotated[list[str] | None, typer.Option(metavar="ID", help="No item with this id; may be repeated.")]
EventOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TYPE:ID",
        help="An event such as purchase:A1, after the history; [data.events] of the experiment says whether its type is"
        " read, seen or forbids the item; may be repeated.",
    ),
]
CandidateOption = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Rank these items alone; may be repeated.")
]
BoostOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WEIGHT:FILTER",
        help="Add a weight from -10 to 10 to the log-score of items such as these: 0.7:stock>0; may be repeated.",
    ),
]
AtMostOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD=N", help="At most N items with one value of a field: brand=2; may be repeated."),
]


@app.command()
def recommend(
    name: NameArgument,
    more: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Further items of the history.")] = None,
    history: Annotated[
        list[str] | None, typer.Option("--history", metavar="ID...", help="Item ids, oldest first.")
    ] = None,
    event: EventOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    allow: AllowOption = None,
    deny: DenyOption = None,
    allow_item: AllowItemOption = None,
    deny_item: DenyItemOption = None,
    candidate: CandidateOption = None,
    boost: BoostOption = None,
    at_most: AtMostOption = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items that were seen may appear.")] = False,
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
    from lexirec.data.event_types import EventTypes
    from lexirec.models import event_meaning, loading
    from lexirec.models import recommend as recommending

    places = Store(store, check=check)
    given = [event_meaning.split_event(each) for each in event or []]
    recommender = loading.load_named(places, name, with_)
    meaning = event_meaning.meaning_of(places, name) if given else EventTypes()
    events = event_meaning.told_apart(meaning, [*(history or []), *(more or [])], given)
    items = recommending.recommend(
        recommender,
        events.history,
        k=k,
        exclude_seen=not include_seen,
        seen=events.seen if given else None,
        allow=allow or [],
        deny=deny or [],
        allow_items=allow_item or [],
        deny_items=[*(deny_item or []), *events.never],
        candidates=candidate or None,
        boosts=boost or [],
        at_most=at_most or [],
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

    Stored results are reused, but those of an exported folder, which needs the store with its data.
    """
    from lexirec.cli import output
    from lexirec.models.loading import folder_named
    from lexirec.pipeline import remeasure, results

    places, folder = Store(store, check=check), folder_named(name)
    if folder is None:
        report = results.evaluate_named(places, name, fold, with_, seen=seen)
    else:
        report = remeasure.evaluate_folder(places, folder, fold, seen)
    output.print_report(report, json)

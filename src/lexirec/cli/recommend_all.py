"""The command `recommend-all`: lists for all users of a shop, into Parquet files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, NameArgument, StoreOption, WithOption, app
from lexirec.cli.recommend import (
    AllowItemOption,
    AllowOption,
    AtMostOption,
    BoostOption,
    CandidateOption,
    DenyItemOption,
    DenyOption,
)
from lexirec.core.errors import SettingsError

if TYPE_CHECKING:
    from lexirec.workflows.bulk.estimate import Estimate
    from lexirec.workflows.bulk.recommend_all import BulkResult, BulkRun

WORTH_A_PROBE = 2_000
"""Users from which on a run measures first; below, the measuring would take as long as the run."""
_MINUTE, _HOUR = 60, 3600


OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the Parquet parts.")]
UsersOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Users (column user_id); by default all with events.")
]
EventsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Another table of events of the experiment's form.")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes, one thread and one model each.")]
ShardOption = Annotated[
    str | None, typer.Option(metavar="I/N", help="Make the I-th of N shares alone, counted from 0.")
]
SinceOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Take lists over from an earlier run where it can be.")
]
ExecutorOption = Annotated[
    Literal["this", "processes", "ray"] | None,
    typer.Option(help="Where parts are made; by default processes, for several workers."),
]
PartOption = Annotated[int | None, typer.Option(min=1, help="Users of a part; by default 100 to 50,000.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Measure 200 users, say what a run will take, end.")]
VerifyOption = Annotated[bool, typer.Option("--verify", help="Check the parts that are there, make none.")]
NewOption = Annotated[float, typer.Option("--new-items", help="Share of the places kept for new items.")]
FieldOption = Annotated[
    list[str] | None, typer.Option("--field", metavar="NAME", help="Repeat a field of the items; may be repeated.")
]
SeenOption = Annotated[bool, typer.Option("--include-seen", help="Items that were seen may appear.")]


@app.command("recommend-all")
def recommend_all(
    name: NameArgument,
    out: OutOption,
    users: UsersOption = None,
    events: EventsOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    workers: WorkersOption = 1,
    shard: ShardOption = None,
    since: SinceOption = None,
    executor: ExecutorOption = None,
    users_per_part: PartOption = None,
    dry_run: DryRunOption = False,
    verify: VerifyOption = False,
    allow: AllowOption = None,
    deny: DenyOption = None,
    allow_item: AllowItemOption = None,
    deny_item: DenyItemOption = None,
    candidate: CandidateOption = None,
    boost: BoostOption = None,
    at_most: AtMostOption = None,
    new_items: NewOption = 0.0,
    field: FieldOption = None,
    include_seen: SeenOption = False,
    json: JsonOption = False,
    with_: WithOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Recommend for all users, as the service would, into Parquet files; a killed run carries on."""
    from lexirec.workflows.bulk.recommend_all import BulkRun, verify_output

    if verify:
        _print_manifest(verify_output(out), json)
        return
    rules: dict[str, Any] = {
        "exclude_seen": not include_seen,
        "allow": allow or [],
        "deny": deny or [],
        "allow_items": allow_item or [],
        "deny_items": deny_item or [],
        "candidates": candidate or None,
        "boosts": boost or [],
        "at_most": at_most or [],
        "new_items": new_items,
        "return_fields": field or [],
    }
    how: dict[str, Any] = {"users": users, "events": events, "recommender": with_, "workers": workers, "shard": shard}
    how |= {"since": since, "executor": executor, "users_per_part": users_per_part, "store": store}
    if out.is_file():
        raise SettingsError(f"--out {out} is a file; give a folder")
    if dry_run:
        _print_estimate(name, k, how | rules, json)
    else:
        _run(BulkRun.prepare(name, out, k=k, **how, **rules), json)


def _print_estimate(name: str, k: int, options: dict[str, Any], json: bool) -> None:
    from lexirec.cli import output
    from lexirec.workflows.bulk.recommend_all import BulkRun

    with TemporaryDirectory() as folder:
        found = BulkRun.prepare(name, Path(folder), k=k, **options).estimate()
    if json:
        output.put_json({"estimate": asdict(found)})
    else:
        output.put(*_lines(found))


def _run(run: BulkRun, json: bool) -> None:
    from lexirec.cli import output

    found = run.estimate() if run.pending_users > WORTH_A_PROBE else None
    if found is not None and not json:
        output.put(*_lines(found))
    result = run.run()
    if json:
        output.put_json({"estimate": None if found is None else asdict(found), **result._asdict()})
    else:
        output.put(*_told(result, run.out))


def _lines(found: Estimate) -> list[str]:
    """Return what a run will take, in lines."""
    workers = f"{found.workers} worker{'s' * (found.workers != 1)}"
    rate = f"{found.users_per_second:,.0f} users/s of one worker in a probe; " if found.ranked else ""
    return [
        f"users: {found.users:,} in {found.parts:,} parts ({found.ranked:,} to rank, {found.newcomers:,} without"
        f" events, {found.copied:,} unchanged)",
        f"estimate: {rate}about {_duration(found.seconds)} with {workers}, {found.bytes / 1e6:,.1f} MB",
    ]


def _told(result: BulkResult, out: Path) -> list[str]:
    """Return what a run did, in lines."""
    made = f"{out}: {result.parts:,} parts made in {_duration(result.seconds)}"
    if result.manifest is None:
        return [f"{made}; {result.missing:,} are still missing, which other shares make"]
    return [f"{made}; all {len(result.manifest['parts']):,} are there and checked: {result.manifest['rows']:,} users"]


def _print_manifest(manifest: dict[str, Any], json: bool) -> None:
    from lexirec.cli import output

    if json:
        output.put_json(manifest)
    else:
        output.put(f"{len(manifest['parts']):,} parts are there and checked: {manifest['rows']:,} users")


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE:.1f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"

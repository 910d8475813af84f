"""Recommend for all users of a shop, into Parquet parts that appear whole or not at all; a killed run carries on.

The lists are those of the service: model, newcomers' lists, filters and quotas are its own functions.
`docs/guide/bulk.md` shows the command.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack, cast

import pyarrow as pa

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, SettingsError, did_you_mean
from lexirec.core.files import read_json, write_json
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.loading import DataSettings
from lexirec.pipeline.components import DataChoice
from lexirec.pipeline.experiment import Experiment
from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.answering.loading import load_model
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.answering.sources import Source, SourceFinder
from lexirec.serving.schemas.recommend import RecommendRequest
from lexirec.shards.making import ShardTask, on_one_thread
from lexirec.shards.plan import ShardPlan, Share, digest_of
from lexirec.shards.running import Executor, run_shards
from lexirec.workflows.bulk.answering import NEWEST, Answering, ReadyTask, RecommendTask
from lexirec.workflows.bulk.estimate import Estimate, estimate
from lexirec.workflows.bulk.events import UserEvents, read_user_events, read_user_ids
from lexirec.workflows.bulk.inputs import Inputs, event_digests
from lexirec.workflows.bulk.previous import Previous
from lexirec.workflows.bulk.questions import RuleOptions, check_any_left, digest_of_lists, question_of

PLAN = "_plan.json"
"""File of the plan, beside the parts."""
_SHARDS, _FEWEST, _MOST = 200, 100, 50_000
"""Parts that are aimed at, and bounds on the users of one."""
_FORMAT = 1
_log = logging.getLogger(__name__)


class RunOptions(TypedDict, total=False):
    """How a run is made.

    `recommender`: one of the experiment's, by default the best. `users`: file with the column `user_id`, by default all
    users who have events. `events`: another table of events of the experiment's form. `workers`: processes, one thread
    each. `executor`: "this", "processes" or "ray". `shard`: the share of this run among several, such as "0/8".
    `since`: folder of an earlier run; lists of users whose events are unchanged are taken over from it.
    `users_per_part`: by default a two-hundredth of all users, 100 … 50,000.
    """

    recommender: str | None
    users: str | Path | None
    events: str | Path | None
    workers: int
    executor: Executor | None
    shard: str | None
    since: str | Path | None
    users_per_part: int | None


class BulkOptions(RuleOptions, RunOptions, total=False):
    """All options of `recommend_all`."""


class BulkResult(NamedTuple):
    """What a run did.

    Attributes:
        parts: Parts that this run made.
        missing: Parts that are not there yet; other shares make them.
        seconds: That making them took.
        manifest: As `ShardPlan.verify` returns it; None where parts are missing.
    """

    parts: int
    missing: int
    seconds: float
    manifest: dict[str, Any] | None


def recommend_all(
    name: str, out: str | Path, *, k: int = 10, store: str | Path = "store", **options: Unpack[BulkOptions]
) -> BulkResult:
    """Write the lists of all users as Parquet parts into a folder, and check them.

    Each part has the columns `user_id`, `items` (ids, best first), `scores`, `model` (name and version),
    `catalog_version`, `fallback` ("newcomer" where a user has no event that the model knows), and `items_FIELD` for
    each of `return_fields`. Where the folder holds parts of the same run, those that are missing are made. With several
    workers, call it below `if __name__ == "__main__":`, as they are spawned.

    Args:
        name: An experiment, or the folder of a recommender (which needs `events`).
        out: The folder.
        k: Number of items, at most 200.
        store: Folder of the artifact store.
        **options: Rules of the lists (`RuleOptions`), and how the run is made (`RunOptions`).

    Raises:
        DataError: a table, a filter or an id cannot be used.
        SettingsError: an option is not allowed.
        ArtifactError: there is no such recommender; the folder holds another run; or shards failed three times.
    """
    return BulkRun.prepare(name, Path(out), k=k, store=Path(store), **options).run()


@dataclass(frozen=True, eq=False)
class BulkRun:
    """A run that is ready to be made.

    Attributes:
        out: Folder of the parts.
        plan: Of the parts.
        task: Makes them.
        state: The loaded model, with the inputs.
        facts: What the manifest says besides.
        load_seconds: That loading the model took.
        how: Number of workers, executor and share.
    """

    out: Path
    plan: ShardPlan
    task: RecommendTask
    state: Answering
    facts: Mapping[str, Any]
    load_seconds: float
    how: tuple[int, Executor, Share | None]

    @classmethod
    def prepare(
        cls, name: str, out: Path, *, k: int = 10, store: Path = Path("store"), **options: Unpack[BulkOptions]
    ) -> BulkRun:
        """Load the model, read users and events, and write the inputs of a run; see `recommend_all`."""
        how, run_options, rule_options = _told_apart(options)
        begun = time.monotonic()
        source, snapshot, choice = _loaded(Store(store), name, run_options)
        load_seconds = time.monotonic() - begun
        body = question_of(snapshot.catalog, k, rule_options)
        compiled = RuleCompiler(0).rules(snapshot, body)
        check_any_left(compiled.rules)
        for remark in (*compiled.remarks, *(f"no item has the id {each}" for each in compiled.unknown[:3])):
            _log.warning("%s", remark)
        events = _events_of(run_options, choice, snapshot)
        lists = digest_of_lists(snapshot, body, compiled.rules)
        inputs, previous = _inputs(events, snapshot, lists, run_options.get("since"))
        per_part = run_options.get("users_per_part") or _users_per_part(len(inputs.user_ids))
        question = _question(snapshot, body, inputs, previous)
        folder = out / f"_input-{question[:8]}"
        inputs.save(folder)
        pinned = Inputs.open(folder)  # of the run that began, whose facts hold on
        made_of = {"question": question, "lists": pinned.card["lists"]}
        plan = ShardPlan.over(len(pinned.user_ids), per_part, made_of)
        plan.pending(out)  # refuses a folder of another run
        task = RecommendTask(
            store.resolve(),
            (source.name, source.part, source.key, source.folder),
            snapshot.catalog_version,
            body.model_dump_json(),
            folder.resolve(),
            previous.folder.resolve() if previous is not None else None,
        )
        facts = {
            "model": snapshot.model.reference,
            "catalog_version": snapshot.catalog_version,
            "lists": pinned.card["lists"],
            "input": folder.name,
            "question": body.model_dump(mode="json", exclude_defaults=True),
        }
        return cls(out, plan, task, task.with_model(snapshot), facts, load_seconds, how)

    @property
    def pending_users(self) -> int:
        """Users of the shards that are not made yet."""
        return sum(len(shard) for shard in self.plan.pending(self.out, self.how[2]))

    def estimate(self) -> Estimate:
        """Measure a few users and return what the rest will take."""
        workers, _, share = self.how
        return estimate(self.state, self.plan.pending(self.out, share), workers, self.load_seconds)

    def run(self) -> BulkResult:
        """Make what is missing, and check all parts once none is."""
        begun, (workers, executor, share) = time.monotonic(), self.how
        plan = {"rows": self.plan.rows, "rows_per_shard": self.plan.rows_per_shard, "digest": self.plan.digest}
        write_json(self.out / PLAN, {**plan, "facts": dict(self.facts)})
        task: ShardTask = ReadyTask(self.task, self.state) if executor == "this" else self.task
        parts = run_shards(self.plan, task, self.out, executor=executor, workers=workers, share=share)
        seconds, missing = time.monotonic() - begun, len(self.plan.pending(self.out))
        manifest = None if missing else self.plan.verify(self.out, self.facts)
        return BulkResult(parts, missing, seconds, manifest)


def verify_output(out: Path) -> dict[str, Any]:
    """Check the parts of a run against its plan; return the manifest, which is written, too.

    Raises:
        ArtifactError: there is no run in the folder, or a part is missing or damaged.
    """
    stored = read_json(out / PLAN)
    try:
        plan = ShardPlan(int(stored["rows"]), int(stored["rows_per_shard"]), str(stored["digest"]))
        facts = stored["facts"]
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{out} holds no run of recommend-all: {PLAN} is missing or damaged") from None
    return plan.verify(out, facts)


def _told_apart(options: BulkOptions) -> tuple[tuple[int, Executor, Share | None], RunOptions, RuleOptions]:
    """Return how the work is done, options of the run, and rules of the lists."""
    names = RunOptions.__annotations__
    every = [*names, *RuleOptions.__annotations__]
    for name in options:
        if name not in every:
            raise SettingsError(
                f"there is no option '{name}'; there are {', '.join(every)}.{did_you_mean(name, every)}"
            )
    run = cast(RunOptions, {name: value for name, value in options.items() if name in names})
    rules = cast(RuleOptions, {name: value for name, value in options.items() if name not in names})
    workers, shard = run.get("workers", 1), run.get("shard")
    if workers < 1:
        raise SettingsError(f"workers = {workers}: at least one is needed")
    per_part = run.get("users_per_part")
    if per_part is not None and per_part < 1:
        raise SettingsError(f"users_per_part = {per_part}: at least one is needed")
    executor = run.get("executor") or ("processes" if workers > 1 else "this")
    return (workers, executor, None if shard is None else Share.parse(shard)), run, rules


def _loaded(store: Store, name: str, options: RunOptions) -> tuple[Source, Snapshot, DataChoice | None]:
    """Return where the model is, the model, and the settings of the experiment's tables; None for a folder."""
    source, choice = SourceFinder(store).given(name, options.get("recommender")), None
    if source.folder is None:
        run, _, stage = source.stage()
        source = source.exact(stage.key)
        choice = validate_settings({**run.settings, "name": run.name}, Experiment, f"run {run.name}").data
    elif options.get("events") is None:
        raise SettingsError(
            f"{name} is the folder of a recommender, which names no table of events; give one (--events)"
        )
    with on_one_thread():
        return source, load_model(source).begin(), choice


def _events_of(options: RunOptions, choice: DataChoice | None, snapshot: Snapshot) -> UserEvents:
    """Read the events of the users who are asked for."""
    given, users = options.get("events"), options.get("users")
    tables: Any = choice
    if tables is None:
        tables = DataSettings(items=Path("(none)"), interactions=Path(str(given)))
    columns = {} if choice is None else getattr(choice, "interaction_columns", {})
    wanted = None if users is None else read_user_ids(Path(users), columns)
    events = read_user_events(tables, snapshot.catalog, None if given is None else Path(given))
    return events if wanted is None else events.of_users(wanted)


def _inputs(
    events: UserEvents, snapshot: Snapshot, lists: str, since: str | Path | None
) -> tuple[Inputs, Previous | None]:
    """Return the inputs of a run, and the earlier run whose lists are taken over."""
    digests = event_digests(events.history, events.seen, events.never)
    previous, copied = None if since is None else Previous.open(Path(since)), None
    if previous is not None and previous.facts["lists"] != lists:
        _log.warning("%s was made with another model, other items or other rules: no list is taken over", since)
        previous = None
    if previous is not None:
        copied = previous.unchanged(events.user_ids, digests)
    return Inputs(*events, digests, copied, snapshot.catalog, snapshot.available, {"lists": lists}), previous


def _question(snapshot: Snapshot, body: RecommendRequest, inputs: Inputs, previous: Previous | None) -> str:
    """Return a digest of what is asked for: present facts are no part of it, so that a run carries on with its own."""
    users = Catalog(pa.table({"item_id": inputs.user_ids, "events": inputs.digests}), ()).digest
    model = [snapshot.model.reference, snapshot.catalog_version]
    before = None if previous is None else previous.plan.digest
    return digest_of([_FORMAT, NEWEST, model, body.model_dump_json(), users, before])


def _users_per_part(users: int) -> int:
    return min(max(math.ceil(users / _SHARDS), _FEWEST), _MOST)

"""The task of a run: the lists of a shard's users, by the very functions that answer for the service."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.serving.answering.answers import make_task
from lexirec.serving.answering.compiling import Compiled, RuleCompiler
from lexirec.serving.answering.histories import History
from lexirec.serving.answering.loading import load_model
from lexirec.serving.answering.ranking import answer_tasks
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.answering.snapshots import Routed
from lexirec.serving.answering.sources import Source
from lexirec.serving.answering.tasks import Ranked, Task
from lexirec.serving.schemas.recommend import RecommendRequest
from lexirec.shards.making import on_one_thread
from lexirec.shards.plan import Shard
from lexirec.workflows.bulk.inputs import Inputs
from lexirec.workflows.bulk.previous import Previous

NEWEST = 200
"""Events of a user that are read as history at most, as a service does."""
_MASK_BYTES, _FEWEST, _MOST = 1 << 26, 8, 512
"""Bytes of what a call holds per user and item, and the numbers of users of a call."""
_NOTHING = np.empty(0, dtype=np.int32)


@dataclass(eq=False)
class Answering:
    """A loaded model with the inputs of a run and compiled rules.

    Attributes:
        snapshot: The model with pinned facts.
        inputs: Of the run.
        body: The question, the same for all users.
        compiled: Its rules.
        previous: Lists that are taken over; None for none.
        newcomer: The list of a user without events, once it is needed.
    """

    snapshot: Snapshot
    inputs: Inputs
    body: RecommendRequest
    compiled: Compiled
    previous: Previous | None = None
    newcomer: Ranked | None = None
    ids: pa.Array = field(init=False)

    def __post_init__(self) -> None:
        self.ids = self.snapshot.catalog.table.column("item_id").cast(pa.string()).combine_chunks()

    @property
    def batch(self) -> int:
        """Users of a call: fewer where the catalogue is large, as each has a mask of all items."""
        per_item = 1 + (4 if self.compiled.rules.boosts is not None else 0)
        return min(max(_MASK_BYTES // (per_item * len(self.snapshot.catalog)), _FEWEST), _MOST)

    def lists(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return the lists of users, given by their rows, in that order."""
        found: list[Ranked | None] = [None] * len(rows)
        histories = [self._history(int(row)) for row in rows]
        asked = []
        for place, history in enumerate(histories):
            if history is None:
                found[place] = self._of_newcomers()
            else:
                asked.append((len(history.items), place, history))
        asked.sort(key=lambda each: each[:2])  # users whose histories are about as long share a call
        for first in range(0, len(asked), self.batch):
            part = asked[first : first + self.batch]
            answers = self._answer([history for _, _, history in part])
            for (_, place, _), answer in zip(part, answers, strict=True):
                found[place] = answer
        return self._table(rows, [each for each in found if each is not None])

    def _history(self, row: int) -> History | None:
        """Return what a user's events come to; None for a user without any."""
        inputs = self.inputs
        read = inputs.history.row(row)
        seen = read if inputs.seen is None else inputs.seen.row(row)
        never = _NOTHING if inputs.never is None else inputs.never.row(row)
        return History(read[-NEWEST:], seen, never) if len(read) or len(seen) or len(never) else None

    def _of_newcomers(self) -> Ranked:
        if self.newcomer is None:
            (self.newcomer,) = self._answer([History(_NOTHING, _NOTHING, _NOTHING)])
        return self.newcomer

    def _answer(self, histories: Sequence[History]) -> list[Ranked]:
        tasks = [self._task(history) for history in histories]
        with quiet():
            return answer_tasks(tasks)

    def _task(self, history: History) -> Task:
        task = make_task(self.body, Routed(self.snapshot, "active"), self.compiled, time.monotonic())
        task.history = history
        return task

    def _table(self, rows: NDArray[np.int64], lists: Sequence[Ranked]) -> pa.Table:
        """Return a table of lists; see `recommend_all` for its columns."""
        lengths = np.array([len(each.items) for each in lists], dtype=np.int32)
        offsets = pa.array(np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(lengths, dtype=np.int32)]))
        numbers = np.concatenate([_NOTHING, *(each.items for each in lists)])
        scores = np.concatenate([np.empty(0, np.float32), *(each.scores for each in lists)])
        columns = {
            "user_id": self.inputs.user_ids.take(pa.array(rows)),
            "items": pa.ListArray.from_arrays(offsets, self.ids.take(pa.array(numbers))),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(scores, pa.float32())),
            "model": pa.repeat(self.snapshot.model.reference, len(lists)),
            "catalog_version": pa.repeat(pa.scalar(self.snapshot.catalog_version, pa.int32()), len(lists)),
            "fallback": pa.array([each.fallback for each in lists], pa.string()),
        }
        for name in dict.fromkeys(self.body.return_fields):
            values = self.snapshot.catalog.table.column(name).take(pa.array(numbers)).combine_chunks()
            columns[f"items_{name}"] = pa.ListArray.from_arrays(offsets, values)
        return pa.table(columns)


@dataclass(frozen=True)
class RecommendTask:
    """Makes the lists of a shard's users.

    Attributes:
        store: Folder of the store.
        source: Name, recommender, key and folder of the model.
        catalog_version: Version of the catalogue that the plan was made with.
        question: The request that is asked for every user, as JSON.
        inputs: Folder of the run's inputs.
        previous: Folder of an earlier run whose lists are taken over; None for none.
    """

    store: Path
    source: tuple[str, str | None, str | None, Path | None]
    catalog_version: int
    question: str
    inputs: Path
    previous: Path | None = None

    def setup(self) -> Answering:
        """Load model and inputs.

        Raises:
            ArtifactError: a file is missing or damaged, or another version of the catalogue was published meanwhile.
        """
        name, part, key, folder = self.source
        snapshot = load_model(Source(Store(self.store), name, part, key, folder)).begin()
        return self.with_model(snapshot)

    def with_model(self, snapshot: Snapshot) -> Answering:
        """Return the state for a model that is loaded already."""
        if snapshot.catalog_version != self.catalog_version:
            raise ArtifactError(
                f"version {snapshot.catalog_version} of the catalogue was activated since the run began with version "
                f"{self.catalog_version}; go back to that one to finish it, or begin in another folder"
            )
        inputs = Inputs.open(self.inputs)
        snapshot, body = inputs.pin(snapshot), RecommendRequest.model_validate_json(self.question)
        compiled = RuleCompiler(0).rules(snapshot, body)
        return Answering(snapshot, inputs, body, compiled, Previous.open(self.previous) if self.previous else None)

    def run(self, shard: Shard, state: Answering) -> pa.Table:
        """Return the lists of a shard's users."""
        rows = np.arange(shard.start, shard.stop, dtype=np.int64)
        copied = state.inputs.copied
        if copied is None or state.previous is None:
            return state.lists(rows)
        before = np.asarray(copied[rows])
        old, new = np.flatnonzero(before >= 0), np.flatnonzero(before < 0)
        made = state.lists(rows[new])
        both = pa.concat_tables([made, state.previous.lists(before[old]).cast(made.schema)])
        order = np.argsort(np.concatenate([new, old]), kind="stable")
        return both.take(pa.array(order))


@dataclass(frozen=True)
class ReadyTask:
    """A task whose state is there already, for the process that has measured with it; one thread, as a worker has."""

    task: RecommendTask
    state: Answering

    def setup(self) -> Answering:
        """Return the state."""
        return self.state

    def run(self, shard: Shard, state: Answering) -> pa.Table:
        """Return the lists of a shard's users."""
        with on_one_thread():
            return self.task.run(shard, state)

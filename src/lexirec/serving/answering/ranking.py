"""Rank the tasks of a batch with their snapshot's model, or a single one with a simpler model; explain a list."""

from __future__ import annotations

from collections.abc import Sequence

from lexirec.data.sequences import Sequences
from lexirec.models.ranked_lists import RankedItems, rank_with_rules
from lexirec.models.recommend import attribute
from lexirec.serving.answering.histories import History
from lexirec.serving.answering.snapshot import SimplerModel
from lexirec.serving.answering.tasks import Ranked, Task

MODEL = "model"
NEWCOMER = "newcomer"


def answer_tasks(tasks: Sequence[Task]) -> list[Ranked]:
    """Answer tasks of one snapshot, whose histories are read: those with a history by the model, all in one batch.

    A user without an event that the catalogue knows is a newcomer and gets the last simpler model's list (popularity),
    where there is one.
    """
    snapshot = tasks[0].snapshot
    simplest = snapshot.simpler[-1] if snapshot.simpler else None
    known = [task for task in tasks if _history(task).items.size or simplest is None]
    by_model = dict(zip(map(id, known), _ranked(known, None) if known else [], strict=True))
    return [by_model[id(task)] if id(task) in by_model else answer_simply(task, simplest, NEWCOMER) for task in tasks]


def answer_simply(task: Task, simpler: SimplerModel | None, reason: str) -> Ranked:
    """Answer one task, whose history is read, with a simpler model, under the same rules."""
    assert simpler is not None, "only snapshots with simpler models have newcomers' lists"
    return _ranked([task], simpler)[0]._replace(fallback=reason)


def _ranked(tasks: Sequence[Task], simpler: SimplerModel | None) -> list[Ranked]:
    recommender = tasks[0].snapshot.recommender if simpler is None else simpler.recommender
    histories = [_history(task) for task in tasks]
    found = rank_with_rules(
        recommender,
        Sequences.from_lists([history.items.tolist() for history in histories]),
        [task.k for task in tasks],
        [task.rules for task in tasks],
        seen=[history.forbidden(task.exclude_seen) for task, history in zip(tasks, histories, strict=True)],
    )
    source = MODEL if simpler is None else simpler.source
    return [_as_ranked(each, history, source) for each, history in zip(found, histories, strict=True)]


def _as_ranked(found: RankedItems, history: History, source: str) -> Ranked:
    return Ranked(
        found.items, found.scores, found.exact, found.legal, not found.short, source, fallback=None, history=history
    )


def explain_task(task: Task, ranked: Ranked) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return for each place of a list `(item id, share)` of the events that it is recommended for."""
    history = _history(task)
    if not history.items.size:
        return ()
    recommender = task.snapshot.recommender
    if ranked.source != MODEL:
        recommender = next(each.recommender for each in task.snapshot.simpler if each.source == ranked.source)
    ids = task.snapshot.catalog.item_ids
    names = [ids[number] for number in history.items]
    return attribute(recommender, history.items, names, ranked.items, ranked.scores, task.rules.boosts)


def _history(task: Task) -> History:
    assert task.history is not None, "histories are read before tasks are answered"
    return task.history

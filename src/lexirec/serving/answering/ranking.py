"""Rank the tasks of a batch with their snapshot's model, or a single one with a simpler model; explain a list."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.decoding.recording import recording
from lexirec.models.ranking_rules import RankedItems, rank_with_rules, score_candidates
from lexirec.models.recommend import attribute
from lexirec.serving.answering.histories import History
from lexirec.serving.answering.snapshot import SimplerModel
from lexirec.serving.answering.tasks import Ranked, Task

MODEL = "model"
NEWCOMER = "newcomer"
Timed = Callable[[str, float], None]
"""Hears of a stage, `search` or `score`, and of the seconds that it took."""


def answer_tasks(tasks: Sequence[Task], timed: Timed = lambda stage, seconds: None) -> list[Ranked]:
    """Answer tasks of one snapshot, whose histories are read: those with a history by the model, all in one batch.

    A user without an event that the catalogue knows is a newcomer and gets the last simpler model's list (popularity),
    where there is one.
    """
    snapshot = tasks[0].snapshot
    simplest = snapshot.simpler[-1] if snapshot.simpler else None
    known = [task for task in tasks if _history(task).items.size or simplest is None]
    found = dict(zip(map(id, known), _ranked(known, None, timed) if known else [], strict=True))
    newcomers = [task for task in tasks if id(task) not in found]
    if newcomers:
        ranked = _ranked(newcomers, simplest)
        found |= {id(task): each._replace(fallback=NEWCOMER) for task, each in zip(newcomers, ranked, strict=True)}
    return [found[id(task)] for task in tasks]


def answer_simply(task: Task, simpler: SimplerModel | None, reason: str) -> Ranked:
    """Answer one task, whose history is read, with a simpler model, under the same rules."""
    assert simpler is not None, "only snapshots with simpler models have newcomers' lists"
    return _ranked([task], simpler)[0]._replace(fallback=reason)


def _ranked(
    tasks: Sequence[Task], simpler: SimplerModel | None, timed: Timed = lambda stage, seconds: None
) -> list[Ranked]:
    """Rank tasks with the model, or a simpler one: lists in one call, those that rank candidates in another."""
    recommender = tasks[0].snapshot.recommender if simpler is None else simpler.recommender
    source = MODEL if simpler is None else simpler.source
    found: dict[int, RankedItems] = {}
    for everything in (False, True):
        part = [task for task in tasks if task.everything == everything]
        if part:
            started = time.monotonic()
            ranked = (_candidates if everything else _lists)(recommender, part)
            timed("score" if everything else "search", time.monotonic() - started)
            found |= zip(map(id, part), ranked, strict=True)
    return [_as_ranked(found[id(task)], _history(task), source) for task in tasks]


def _lists(recommender: Recommender, tasks: Sequence[Task]) -> list[RankedItems]:
    seen = [_history(task).forbidden(task.exclude_seen) for task in tasks]
    ks, rules = [task.k for task in tasks], [task.rules for task in tasks]
    with recording(tasks[0].recorder):  # such a task is a batch of its own
        return rank_with_rules(recommender, _sequences(tasks), ks, rules, seen=seen)


def _candidates(recommender: Recommender, tasks: Sequence[Task]) -> list[RankedItems]:
    """Score all legal candidates: the items that the rules allow, without forbidden ones."""
    legal = []
    for task in tasks:
        allowed = task.rules.allowed
        assert allowed is not None, "candidates are compiled into the allowed items"
        items = np.flatnonzero(allowed).astype(np.int32)
        legal.append(items[~np.isin(items, _history(task).forbidden(task.exclude_seen))])
    return score_candidates(recommender, _sequences(tasks), legal, boosts=[task.rules.boosts for task in tasks])


def _sequences(tasks: Sequence[Task]) -> Sequences:
    return Sequences.from_lists([_history(task).items.tolist() for task in tasks])


def _as_ranked(found: RankedItems, history: History, source: str) -> Ranked:
    return Ranked(
        found.items, found.scores, found.exact, found.legal, not found.short, source, fallback=None, history=history
    )


def explain_task(task: Task, ranked: Ranked) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return for each place of a list `(item id, share)` of the events that it is recommended for."""
    history = _history(task)
    recommender = task.snapshot.recommender
    if ranked.source != MODEL:
        recommender = next(each.recommender for each in task.snapshot.simpler if each.source == ranked.source)
    found = RankedItems(ranked.items, ranked.scores, ranked.exact, ranked.legal, not ranked.complete)
    ids = task.snapshot.catalog.item_ids
    reasons = attribute(recommender, history.items, found, task.rules.boosts)
    return tuple(tuple((ids[history.items[event]], share) for event, share in place) for place in reasons)


def _history(task: Task) -> History:
    assert task.history is not None, "histories are read before tasks are answered"
    return task.history

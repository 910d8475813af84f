"""Checks of the data before anything is trained: can the experiment learn from this split, and be measured on it?

Every refusal is one line about the stage `data`: what the data are, what the experiment needs, what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from lexirec.core.errors import DataError
from lexirec.data.splits import Split, unseen_cases
from lexirec.models.ensemble.weights import chosen_cases
from lexirec.pipeline.components import SasrecNeighbors
from lexirec.pipeline.experiment import EvaluationSettings, Experiment

_log = logging.getLogger(__name__)
_MEASURING = (None, "data", "evaluation", "report")
"""Last stages of runs that measure, or that only prepare the data."""
_NO_HISTORY = "there is no history to predict from: check which column is user_id, or add events"
_BY_TIME = 'split by time, data.split.kind = "global-temporal"'


def check_data(experiment: Experiment, split: Split, until: str | None = None) -> None:
    """Check that an experiment can learn from a split and be measured on it; log what it should know.

    Args:
        experiment: the experiment.
        split: its data.
        until: the stage after which the run stops; a run that does not measure needs no cases to measure.

    Raises:
        DataError: it cannot.
    """
    check_training(split)
    if until in _MEASURING and (experiment.parts or experiment.experts):
        check_evaluation(experiment.evaluation, split)
    _check_steps(experiment, split)
    for name, fusion in experiment.ensemble.items():
        try:
            chosen_cases(fusion, split)
        except DataError as error:
            raise DataError(f"data: 'ensemble.{name}' has no cases to choose its weights on: {error}") from None
    for remark in remarks(experiment, split):
        _log.warning("data: %s", remark)


def _check_steps(experiment: Experiment, split: Split) -> None:
    """Check that a row has two events, where the experiment cannot do without a network that learns from them."""
    network = "the model" if experiment.model is not None else None
    network = "the SASRec of [neighbors]" if isinstance(experiment.neighbors, SasrecNeighbors) else network
    if network is not None and int(split.train.lengths.max(initial=0)) < 2:
        advice = "lower data.split.hold_back" if split.protocol.get("hold_back") else "use longer histories"
        raise DataError(
            f"data: none of the {len(split.train):,} training rows has two events, so {network} has no step to learn; "
            f"{advice}, or another split"
        )


def check_training(split: Split) -> None:
    """Check that there is something to learn and something to choose between.

    Raises:
        DataError: the catalogue has one item, all events are of one user, or there is no training event.
    """
    facts = split.protocol
    if split.n_items < 2:
        raise DataError(
            f"data: the catalogue has {split.n_items} item, and a recommender chooses between two or more; "
            "check the table of items" + (f" and data.k_core = {facts['k_core']}" if facts.get("k_core") else "")
        )
    if facts.get("users") == 1:
        raise DataError(
            f"data: all {facts['interactions']:,} events are of one user; check which column is user_id "
            "(data.interaction_columns)" + (f", and data.k_core = {facts['k_core']}" if facts.get("k_core") else "")
        )
    if not len(split.train.items):
        raise DataError(f"data: no event is in the training part, so nothing can be learned; {_more_training(split)}")


def check_histories(split: Split) -> None:
    """Check the data of a new experiment, whatever its parts: they may be short, but there are histories.

    Raises:
        DataError: as of `check_training`, or every user has one event.
    """
    check_training(split)
    if not len(split.test) and not len(split.validation) and int(split.train.lengths.max(initial=0)) < 2:
        raise DataError(f"data: every user has one event; {_NO_HISTORY}")


def check_evaluation(settings: EvaluationSettings, split: Split) -> None:
    """Check that the fold that is evaluated has cases, and that some of their targets occur in training.

    Raises:
        DataError: there is no case, or no target of the fold is in the training part.
    """
    fold = settings.fold
    cases = split.test if fold == "test" else split.validation
    if not len(cases):
        raise DataError(f"data: there is no {fold} case: {why_no_case(split, fold)}")
    if settings.cases == "unseen" and not unseen_cases(split).any():
        raise DataError(
            'data: evaluation.cases is "unseen", and every validation history ends with a training event, as under '
            "leave-last-out; measure all cases, or set data.split.hold_back = 0.2"
        )
    if not split.train.counts(split.n_items)[cases.targets].any():
        raise DataError(
            f"data: none of the {len(cases):,} {fold} targets ({len(np.unique(cases.targets)):,} items) occurs in the "
            "training part, so no recommender can be measured; check that both parts spell item ids alike, or choose a "
            "split whose training part has these items (leave-last-out, or later cuts)"
        )


def remarks(experiment: Experiment, split: Split) -> Iterator[str]:
    """Yield what limits the figures, a sentence each."""
    beyond = [k for k in experiment.evaluation.ks if k >= split.n_items]
    if beyond and (experiment.parts or experiment.experts):
        listed = ", ".join(map(str, beyond))
        yield (
            f"evaluation.ks has {listed}, and the catalogue only {split.n_items:,} items: lists of that length hold "
            "all of them, so recall says nothing; give smaller ks"
        )
    if not len(split.validation) and _learns_by_epochs(experiment):
        yield (
            "there is no validation case to choose epochs on, so the last epoch is kept; a split with validation cases "
            "chooses the best one"
        )


def _learns_by_epochs(experiment: Experiment) -> bool:
    parts = [experiment.model, *experiment.baselines.values()]
    return any('"epochs":' in part.model_dump_json() for part in parts if part is not None)


def why_no_case(split: Split, fold: str) -> str:
    """Say why a fold has no case, and what to do."""
    facts, first = split.protocol, int(split.protocol.get("targets_without_history", 0))
    match facts.get("split"):
        case "leave-last-out":
            longest = int(split.train.lengths.max(initial=0))
            users = f"none of the {len(split.train):,} users has the three events that leave-last-out needs"
            return f"{users} (the longest history has {longest}); {_for_short_histories(longest)}"
        case "published" if first:
            return (
                f"all events that the column split marks as held out ({first:,}) are the first of their users, so "
                f"there is no history to predict them from; mark later events, or {_BY_TIME}"
            )
        case "published":
            return (
                f"the column split marks no event as {fold}; mark some, or use another split "
                '(data.split.kind = "leave-last-out")'
            )
        case "global-temporal":
            bound = facts["test_from" if fold == "test" else "validation_from"]
            return (
                f"no event that follows another of its user is in that part, which begins at {_moment(bound)}; "
                f"raise data.split.{fold}, or move data.split.cuts into the time of the events"
            )
    return "use a split that holds events out"


def _for_short_histories(longest: int) -> str:
    if longest < 2:
        return _NO_HISTORY
    return f"add events, or, where events have times, {_BY_TIME}, which needs two events of a user"


def _more_training(split: Split) -> str:
    match split.protocol.get("split"):
        case "published":
            return "mark events as train in the column split, or use another split"
        case "global-temporal":
            since = _moment(split.protocol["validation_from"])
            return f"validation begins at {since}, before every event; move data.split.cuts into the time of the events"
    return "use another split, or a smaller data.split.hold_back"


def _moment(seconds: float) -> str:
    """Return a moment as text: UTC where it is a date, else the number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"

"""Tasks: a question on its way through the engine, and the ranked items that answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lexirec.decoding.recording import BeamRecorder
from lexirec.models.compiled_rules import Rules
from lexirec.serving.answering.histories import GivenEvent, History
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.schemas.recommend import Variant


class Ranked(NamedTuple):
    """What answers a task.

    Attributes:
        items: int32 (n,), item numbers, best first.
        scores: float32 (n,).
        exact: Whether the list is provably that of an exhaustive search; None where nobody can say.
        legal: Number of items that could stand in the list.
        complete: Whether the list has as many items as the legal ones allow.
        source: `model`, `memory` or `popularity`.
        fallback: Why a simpler model answered; None where the model did.
        history: What the user's events came to.
        because: With `explain`, for each place `(item id, share)` of events; empty without.
        seconds: Spent waiting, and in the model.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    exact: bool | None
    legal: int
    complete: bool
    source: str
    fallback: str | None
    history: History
    because: tuple[tuple[tuple[str, float], ...], ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)


Reply = Callable[[Any], None]
"""Takes a `Ranked` or an exception, once, on any thread."""


@dataclass(eq=False)
class Task:
    """One question.

    Attributes:
        snapshot: Pinned when it arrived.
        k: Number of places.
        rules: Compiled against the snapshot's catalogue.
        owner: Key of the user or session whose stored events are read; None for none.
        given: Events of the request, after the stored ones.
        exclude_seen: Leave out seen items.
        explain: Attribute each place to events.
        arrived: Time of arrival, `time.monotonic`.
        deadline: Time after which nobody waits for the model any more.
        reply: Takes the result.
        everything: Whether all legal candidates are ranked, not the best k.
        dropped: Whether nobody waits: the client left, or a simpler model has answered.
        variant: Whose traffic the question counts as.
        recorder: Takes down the beam search, of this task alone; None for no record.
    """

    snapshot: Snapshot
    k: int
    rules: Rules
    owner: str | None
    given: tuple[GivenEvent, ...]
    exclude_seen: bool
    explain: bool
    arrived: float
    deadline: float
    reply: Reply
    everything: bool = False
    dropped: bool = False
    history: History | None = None
    variant: Variant = "active"
    recorder: BeamRecorder | None = None

"""Under more than it can answer, the engine refuses what would come too late, and learns again when it is faster."""

from __future__ import annotations

import threading
import time

import pytest

from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.histories import GivenEvent
from lexirec.serving.answering.tasks import Ranked, Task
from lexirec.serving.database.event_rules import EventRules
from lexirec.serving.problems import ProblemError
from lexirec.serving.settings import BatchingSettings
from tests.serving.answering.test_answers import Trouble
from tests.serving.shop import snapshot

WAITING = 40


@pytest.fixture
def slow():
    """An engine with batches of two whose model waits until it is let go."""
    model = Trouble()
    engine = Engine(BatchingSettings(max_batch_requests=2), WAITING, lambda owners: {}, EventRules())
    engine.start()
    yield engine, model, snapshot(model)
    model.release.set()
    engine.stop(10)


def task(made, seconds: float, answers: list | None = None) -> Task:
    from lexirec.models.compiled_rules import Rules

    now, reply = time.monotonic(), (answers if answers is not None else []).append
    return Task(made, 3, Rules(), None, (GivenEvent("i1"),), True, False, now, now + seconds, reply)


def run_rounds(engine: Engine, made, count: int) -> None:
    for _ in range(count):
        answers: list = []
        engine.submit(task(made, 60, answers))
        while not answers:
            time.sleep(0.001)
        assert isinstance(answers[0], Ranked)


def test_what_would_come_too_late_is_refused_and_what_would_not_is_not(slow):
    engine, model, made = slow
    model.release.clear()
    for _ in range(3):  # three rounds of a quarter of a second each
        answers: list = []
        engine.submit(task(made, 60, answers))
        time.sleep(0.25)
        model.release.set()
        while not answers:
            time.sleep(0.001)
        model.release.clear()
    for _ in range(7):
        engine.submit(task(made, 60))
    time.sleep(0.05)  # one batch is with the model, three wait: a fifth would be answered after a second
    with pytest.raises(ProblemError, match="too many for timeout_ms"):
        engine.submit(task(made, 0.5))
    engine.submit(task(made, 60))


def test_the_first_batch_is_never_refused_however_slow_the_last_one_was(slow):
    engine, model, made = slow
    model.release.clear()
    answers: list = []
    engine.submit(task(made, 60, answers))
    time.sleep(0.4)
    model.release.set()
    while not answers:
        time.sleep(0.001)
    model.release.clear()
    engine.submit(task(made, 0.05))  # with an empty queue, a simpler model may answer after timeout_ms


def test_a_slow_round_is_forgotten(slow):
    engine, model, made = slow
    model.release.clear()
    answers: list = []
    engine.submit(task(made, 60, answers))
    threading.Timer(0.5, model.release.set).start()
    while not answers:
        time.sleep(0.001)
    run_rounds(engine, made, 20)
    model.release.clear()
    for _ in range(9):
        engine.submit(task(made, 60))
    engine.submit(task(made, 0.5))

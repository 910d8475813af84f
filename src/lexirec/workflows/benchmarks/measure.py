"""Competitors in processes of their own, so that the memory of one does not hide in that of the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from lexirec.workflows.benchmarks.measuring import PeakMemory


class Answer(NamedTuple):
    """What a competitor returned and what it took.

    Attributes:
        value: what was returned.
        seconds: by the clock on the wall.
        processor_seconds: of all its threads; other programs on the machine hardly change them.
        growth: of its memory since it was set up, at most, in MiB.
    """

    value: Any
    seconds: float
    processor_seconds: float
    growth: float


class Competitor:
    """A competitor in another process; one method is asked at a time."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        """Ask through an executor of one process."""
        self._executor = executor

    def ask(self, method: str, *arguments: Any) -> Answer:
        """Call a method there and wait for what it returns."""
        return self._executor.submit(_answer, method, arguments).result()


@contextmanager
def apart(make: Callable[..., Any], *arguments: Any) -> Iterator[Competitor]:
    """Make something in a process of its own, with as many threads as here; the first question waits until it is there.

    Args:
        make: a class or function at the top of a module.
        arguments: for it.
    """
    given = (make, arguments, torch.get_num_threads())
    with ProcessPoolExecutor(1, get_context("spawn"), _set_up, given) as executor:
        yield Competitor(executor)


# ------------------------------------------------------------------------------------- inside a process of its own

_competitor: Any = None
_memory: PeakMemory | None = None


def _set_up(make: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> None:
    global _competitor, _memory
    torch.set_num_threads(threads)
    _competitor = make(*arguments)
    _memory = PeakMemory()


def _answer(method: str, arguments: tuple[Any, ...]) -> Answer:
    assert _memory is not None
    begin, worked = time.perf_counter(), time.process_time()
    value = getattr(_competitor, method)(*arguments)
    seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - worked
    return Answer(value, seconds, processor_seconds, _memory.growth)

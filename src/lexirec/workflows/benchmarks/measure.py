"""Measure implementations in separate processes: time, processor time, peak memory growth, and lower bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from statistics import median
from typing import Any, NamedTuple

import torch

from lexirec.core.environment import PeakMemory


class Answer(NamedTuple):
    """Result and cost of one call.

    Attributes:
        value: returned value.
        seconds: wall-clock time.
        processor_seconds: processor time of all threads, which depends little on other load.
        growth: peak growth of memory since set-up, in MiB.
    """

    value: Any
    seconds: float
    processor_seconds: float
    growth: float


class Competitor:
    """An object in another process; one method call at a time."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        """Wrap an executor with a single process."""
        self._executor = executor

    def ask(self, method: str, *arguments: Any) -> Answer:
        """Call a method in the other process and wait for the result."""
        return self._executor.submit(_answer, method, arguments).result()


@contextmanager
def apart(make: Callable[..., Any], *arguments: Any) -> Iterator[Competitor]:
    """Create an object in a process of its own, with as many threads as here; the first call waits for the set-up.

    Args:
        make: a class or function at module level.
        arguments: its arguments.
    """
    set_up = (make, arguments, torch.get_num_threads())
    with ProcessPoolExecutor(1, get_context("spawn"), _set_up, set_up) as executor:
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


# ---------------------------------------------------------------------------------------- statistics and lower bounds


def timings(name: str, seconds: Sequence[float]) -> dict[str, float | list[float]]:
    """Return median, minimum and maximum of times, under keys that begin with `name`."""
    return {f"{name}seconds": median(seconds), f"{name}seconds_spread": [min(seconds), max(seconds)]}


def least_time(operations: float, moved: float) -> dict[str, float]:
    """Return a lower bound on the time of so many operations and bytes, at this machine's measured peak rates."""
    left, right, out = torch.randn(2048, 512), torch.randn(512, 2048), torch.empty(2048, 2048)
    rate = left.shape[0] * 512 * 2048 * 2 / _best(lambda: torch.mm(left, right, out=out))
    source, target = torch.ones(2**24), torch.empty(2**24)
    bandwidth = 2 * source.nbytes / _best(lambda: target.copy_(source))
    return {
        "gigaflop": operations / 1e9,
        "gigabytes": moved / 1e9,
        "gigaflop_per_second": rate / 1e9,
        "gigabytes_per_second": bandwidth / 1e9,
        "floor_seconds": max(operations / rate, moved / bandwidth),
    }


def _best(work: Callable[[], object], repeats: int = 10) -> float:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)

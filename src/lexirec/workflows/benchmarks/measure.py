"""Competitors in processes of their own, so that the memory of one does not hide in that of the other."""

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


# ------------------------------------------------------------------------------------------------------------ measuring
# Measuring: medians and spreads, the peak growth of resident memory, and how fast this machine could be at all.


def timings(name: str, seconds: Sequence[float]) -> dict[str, float | list[float]]:
    """Return the median and the least and greatest of some times, under keys that begin with `name`."""
    return {f"{name}seconds": median(seconds), f"{name}seconds_spread": [min(seconds), max(seconds)]}


def floor(operations: float, moved: float) -> dict[str, float]:
    """Return the least time this machine needs for so many operations and bytes, at its measured best rates."""
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

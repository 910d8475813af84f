"""Measuring: medians and spreads, the peak growth of resident memory, and how fast this machine could be at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from lexirec.core.environment import PeakMemory

__all__ = ["PeakMemory", "floor", "timings"]


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

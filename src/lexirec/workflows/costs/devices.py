"""Devices that a cost is planned for: their peak rates, what share of them training and search are assumed to reach."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from statistics import median

import torch

from lexirec.core.errors import SettingsError, did_you_mean

GIB = 2**30
HERE = "here"
"""Name of this machine among the devices."""
_BEST, _HALF = 0.35, 512
_SEARCH = 0.03


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes:
        name: as on the command line.
        title: in tables.
        rate: operations a second at its peak, dense products in bfloat16 (of this machine: as measured, in float32).
        memory: bytes.
        measured: whether `rate` was measured here, on products of the size that training has.
    """

    name: str
    title: str
    rate: float
    memory: float
    measured: bool = False

    def training_share(self, width: int) -> float:
        """Share of the peak that training a model of this width is assumed to reach: .18 for 512, .26 for 1,536.

        Wider products fill a GPU better. What published runs reached is in docs/guide/papers.md.
        """
        return 0.6 if self.measured else _BEST * width / (width + _HALF)

    @property
    def search_share(self) -> float:
        """Share of the peak that beam search is assumed to reach: its products are small and wait for memory."""
        return 0.3 if self.measured else _SEARCH


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("rtx4090", "RTX 4090, 24 GB", 165e12, 24 * GIB),
        Device("a6000", "RTX A6000, 48 GB", 155e12, 48 * GIB),
        Device("a100", "A100, 80 GB", 312e12, 80 * GIB),
        Device("h100", "H100, 80 GB", 989e12, 80 * GIB),
        Device("h200", "H200, 141 GB", 989e12, 141 * GIB),
    )
}
"""Known GPUs, with the makers' peak rates of dense products in bfloat16."""


def devices_named(names: list[str] | None, width: int) -> list[Device]:
    """Return devices by name, all of them by default; `here` is measured with products of a model of that width.

    Raises:
        SettingsError: there is no such device.
    """
    known = [HERE, *DEVICES]
    for name in names or ():
        if name not in known:
            raise SettingsError(f"--device {name}: allowed are {', '.join(known)}.{did_you_mean(name, known)}")
    return [this_machine(width) if name == HERE else DEVICES[name] for name in names or known]


def this_machine(width: int, *, tokens: int = 2048, seconds: float = 0.5) -> Device:
    """Measure this machine: products of `tokens` rows with a feed-forward matrix of a model of that width."""
    cuda = torch.cuda.is_available()
    where = torch.device("cuda" if cuda else "cpu")
    kind = torch.bfloat16 if cuda and torch.cuda.is_bf16_supported() else torch.float32
    left, right = (torch.ones(size, dtype=kind, device=where) for size in ((tokens, width), (width, 4 * width)))
    took: list[float] = []
    until = time.monotonic() + seconds
    left @ right  # the first product sets up
    while not took or time.monotonic() < until:
        begin = time.perf_counter()
        left @ right
        if cuda:
            torch.cuda.synchronize()
        took.append(time.perf_counter() - begin)
    rate = 2.0 * tokens * width * 4 * width / median(took)  # other work on the machine slows both, this and a run
    memory = torch.cuda.get_device_properties(0).total_memory if cuda else _memory()
    title = torch.cuda.get_device_name(0) if cuda else f"this machine, {torch.get_num_threads()} threads"
    return Device(HERE, title, rate, float(memory), measured=True)


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # other systems
        return 0

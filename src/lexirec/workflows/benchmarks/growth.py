"""How seconds, memory and disk grow with the catalogue: every stage and a training step on synthetic shops.

Each stage runs in a child process, so that its peak memory is its own and its end, even a violent one, stops nothing
else. What a stage has shown is written beside its artifacts; the same command with the same folder carries on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.progress import Progress
from lexirec.workflows.benchmarks.growth_stages import STAGES, Place, measure_stage
from lexirec.workflows.benchmarks.synthetic_shop import ShopSize

FIGURES = ("processor_seconds", "growth_mib", "disk_mib")
"""What is fitted: processor time, which depends little on other load; growth of the peak memory over that at the
stage's start; bytes on disk."""
_LEAST = {"processor_seconds": 0.2, "growth_mib": 20.0, "disk_mib": 0.1}
"""Smaller figures are mostly what a process costs without any work, and are left out of a fit."""


@dataclass(frozen=True)
class Shops:
    """The shops of a run.

    Attributes:
        items: sizes of the catalogues, ascending.
        users_per_item: users, relative to the items.
        events_per_user: events of a user on average.
        seed: of all shops.
    """

    items: tuple[int, ...]
    users_per_item: float = 1.0
    events_per_user: float = 8.0
    seed: int = 0

    def size(self, items: int) -> ShopSize:
        """Return the size of one shop."""
        return ShopSize(items, max(10, round(items * self.users_per_item)), self.events_per_user)


def bench_growth(
    shops: Shops, folder: Path | None = None, *, stages: Sequence[str] = (), limit: float = 3600.0
) -> dict[str, Any]:
    """Time every stage on shops of several sizes.

    Args:
        shops: sizes and shape of the shops.
        folder: where shops, artifacts and figures stay, so that an interrupted run carries on; by default a temporary
            folder.
        stages: stages to run, after those that they need; all by default.
        limit: seconds after which a stage is stopped; larger shops then go without it, too.

    Returns:
        `items`, and `stages`: for each its figures by size (`seconds`, `processor_seconds`, `peak_mib`, `growth_mib`,
        `disk_mib`, or `stopped` with the reason) and the `exponents` of growth, slopes of log figure over log items;
        beside them the settings of the run. None stands where fewer than two sizes can be compared.

    Raises:
        SettingsError: a stage is unknown, or a shop too small.
    """
    wanted = _needed(stages)
    sizes = sorted(set(shops.items))
    places = [shops.size(items) for items in sizes]
    found: dict[str, dict[str, dict[str, Any]]] = {stage: {} for stage in wanted}
    with ExitStack() as stack:
        root = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        progress = stack.enter_context(Progress("Growth", total=len(sizes) * len(wanted)))
        for items, size in zip(sizes, places, strict=True):
            name = f"{items}-{size.users}-{size.events:g}-{shops.seed}"
            place = Place(root / name, size, shops.seed, torch.get_num_threads())
            for stage in wanted:
                stopped = [each for each in found[stage].values() if "stopped" in each]
                found[stage][str(items)] = stopped[0] if stopped else _measured(place, stage, limit)
                progress.advance()
    return {
        "items": sizes,
        "users_per_item": shops.users_per_item,
        "events_per_user": shops.events_per_user,
        "threads": torch.get_num_threads(),
        "stages": {stage: {"by_items": rows, "exponents": _exponents(rows)} for stage, rows in found.items()},
    }


def _needed(stages: Sequence[str]) -> list[str]:
    """Return the stages up to the last one that is asked for, in order."""
    for stage in stages:
        if stage not in STAGES:
            raise SettingsError(f"--stage {stage}: allowed are {', '.join(STAGES)}.{did_you_mean(stage, STAGES)}")
    names = list(STAGES)
    return names[: 1 + max(map(names.index, stages))] if stages else names


def _measured(place: Place, stage: str, limit: float) -> dict[str, Any]:
    """Return the figures of a stage: from an earlier run, or from a child process."""
    file = place.folder / "figures" / f"{stage}.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        child = _context().Process(target=measure_stage, args=(place, stage, file))
        child.start()
        child.join(limit)
        if child.is_alive():
            child.kill()
            child.join()
            return {"stopped": f"after the limit of {limit:g} s"}
        if not file.is_file():
            return {"stopped": f"its process ended with {child.exitcode}"}
    figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures


def _context() -> Any:  # of one of two classes that share no typed base with a process
    """Return how children start: as copies of a process that has imported everything, where the system has that."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([measure_stage.__module__])
    return context


def _exponents(rows: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Return the slope of log figure over log items for each figure, by least squares."""
    slopes: dict[str, float | None] = {}
    for name in FIGURES:
        points = [(int(items), each[name]) for items, each in rows.items() if each.get(name, 0) >= _LEAST[name]]
        slopes[name] = None
        if len(points) >= 2:
            items, values = np.log(np.array(points, dtype=np.float64)).T
            slopes[name] = round(float(np.polyfit(items, values, 1)[0]), 3)
    return slopes


def growth_rows(figures: dict[str, Any]) -> list[list[str]]:
    """Return the table of a run: a head, then a row a stage with seconds and peak memory by size, and exponents."""
    sizes = [str(items) for items in figures["items"]]
    head = ["stage", *(f"{int(items):,} items" for items in sizes), *("time ^", "memory ^", "disk ^")]
    rows = [head]
    for stage, found in figures["stages"].items():
        cells = [_cell(found["by_items"].get(items, {})) for items in sizes]
        slopes = [found["exponents"][name] for name in FIGURES]
        rows.append([stage, *cells, *("" if slope is None else f"{slope:.2f}" for slope in slopes)])
    return rows


def _cell(figures: dict[str, Any]) -> str:
    if "stopped" in figures:
        return f"stopped {figures['stopped']}"
    if not figures:
        return ""
    disk = f", {figures['disk_mib']:,.0f} MiB on disk" if "disk_mib" in figures else ""
    return f"{figures['seconds']:,.2f} s, {figures['peak_mib']:,.0f} MiB{disk}"

"""Check the installation and the machine: packages, threads, device, memory, disk, optional extras."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lexirec.core.environment import commit, machine, versions

_GIB = 1024**3
_ENOUGH_DISK, _ENOUGH_MEMORY = 5 * _GIB, 4 * _GIB
_REQUIRED = ("numpy", "scipy", "scikit-learn", "pyarrow", "duckdb", "torch", "transformers")
_EXTRAS = {
    "sentence_transformers": ("sentence vectors", 'pip install "lexirec[text]"'),
    "PIL": ("vectors of pictures", 'pip install "lexirec[images]"'),
    "openai": ("LLM labels by an endpoint", 'pip install "lexirec[teacher]"'),
    "implicit": ("the baseline of kind 'als'", 'pip install "lexirec[als]"'),
    "peft": ("fine-tuning by low-rank updates", 'pip install "lexirec[lora]"'),
    "gguf": ("backbones in GGUF files", 'pip install "lexirec[gguf]"'),
    "optuna": ("lexirec tune", 'pip install "lexirec[tune]"'),
    "ray": ("recommend-all on a Ray cluster", 'pip install "lexirec[ray]"'),
}


@dataclass(frozen=True)
class Finding:
    """One checked property: its state, value and advice."""

    name: str
    state: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""


def examine(store: Path) -> list[Finding]:
    """Check versions, threads, device, memory, the store's disk and the optional extras."""
    return [*_software(), *_processors(), _memory(), *_disk(store), *_extras()]


def _software() -> Iterator[Finding]:
    installed = versions()
    fit = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if fit else "problem", installed["python"], "" if fit else "use Python 3.11 or newer")
    yield Finding("lexirec", "ok", f"{installed.get('lexirec', 'not installed')} ({(commit() or 'no checkout')[:12]})")
    for package in _REQUIRED:
        have = package in installed
        advice = "" if have else f"install it: pip install {package}, or run make setup"
        yield Finding(package, "ok" if have else "problem", installed.get(package, "not installed"), advice)


def _processors() -> Iterator[Finding]:
    cores = int(machine()["cores"])
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    threads = torch.get_num_threads()
    fit = threads <= cores
    advice = "" if fit else f"more threads than cores are slower: set OMP_NUM_THREADS={cores}"
    yield Finding("threads", "ok" if fit else "note", f"{threads} on {cores} cores", advice)
    if torch.cuda.is_available():
        yield Finding("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}")
    elif torch.backends.mps.is_available():
        yield Finding("device", "ok", "mps")
    else:
        yield Finding("device", "note", "cpu", "training works, but is slow for backbones above 'small'")


def free_memory() -> int | None:
    """Return the bytes of memory that a program can still take; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():  # includes memory that the kernel can reclaim
        return next(int(line.split()[1]) * 1024 for line in meminfo.open() if line.startswith("MemAvailable"))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _memory() -> Finding:
    free = free_memory()
    if free is None:
        return Finding("memory", "note", "unknown on this system")
    fit = free >= _ENOUGH_MEMORY
    advice = "" if fit else "close other programs, or use smaller batches"
    return Finding("memory", "ok" if fit else "note", f"{free / _GIB:.1f} GiB available", advice)


def _disk(store: Path) -> Iterator[Finding]:
    folder = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    fit = free >= _ENOUGH_DISK
    advice = "" if fit else "a run on a real catalogue needs some GiB: free space or choose another --store"
    yield Finding("disk", "ok" if fit else "note", f"{free / _GIB:.1f} GiB free at {folder}", advice)
    try:
        with tempfile.TemporaryFile(dir=folder):
            yield Finding("store", "ok", f"{store} can be written")
    except OSError as error:
        yield Finding("store", "problem", f"{store} cannot be written: {error.strerror}", "choose another --store")


def _extras() -> Iterator[Finding]:
    for module, (what, command) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Finding(what, "ok", f"{module} is installed")
        else:
            yield Finding(what, "note", f"{module} is not installed", f"only needed for {what}: {command}")

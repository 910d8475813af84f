"""Provenance of results: commit, library versions and machine; and the peak memory of the process."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("lexirec", "numpy", "scipy", "scikit-learn", "pyarrow", "duckdb", "torch", "transformers")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries results depend on, without importing them."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def machine() -> dict[str, str | int]:
    """Return platform, processor and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"platform": platform.platform(), "processor": platform.machine(), "cores": cores}


@cache
def commit() -> str | None:
    """Return the commit of the checkout lexirec runs from, with `+` when it has changes; None outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    head, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+" if head and changes else head


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def total_memory() -> int | None:
    """Return the memory of this machine in bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        return None


def beyond_memory(what: str, needed: float, advice: str) -> str | None:
    """Return in one line that `needed` bytes are more than the machine has, and what to do; None where they are not."""
    there = total_memory()
    if there is None or needed <= there:
        return None
    return f"{what} need about {needed / 2**30:,.0f} GiB; this machine has {there / 2**30:,.0f} GiB: {advice}"


class PeakMemory:
    """Peak resident memory of this process since the object was created."""

    def __init__(self) -> None:
        """Reset the peak where the system can (Linux); elsewhere growth counts from the highest peak so far."""
        with contextlib.suppress(OSError):  # no such file, or not ours to write
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = _peak()

    @property
    def peak(self) -> int:
        """Peak resident memory, in bytes."""
        return _peak()

    @property
    def growth(self) -> float:
        """Growth of the peak since the start, in MiB."""
        return (_peak() - self._before) / 2**20


def _peak() -> int:
    """Return the high-water mark of resident memory in bytes; 0 where the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

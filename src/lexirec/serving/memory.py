"""Memory of a process that lives long: little is held back by the allocator, and collections look at what is new."""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import cache
from typing import Any

import pyarrow as pa

_ARENA_MAX = -8
"""Number of the option of glibc's `mallopt` that limits the pools of its threads."""
ARENAS = 2


def settle() -> None:
    """Prepare for a long life, once everything is loaded.

    What is loaded stays, so collections need not look at it again, which would stop all threads for tenths of a second.
    """
    gc.collect()
    gc.freeze()


def few_pools() -> None:
    """Let threads share a few pools of memory: one for each would keep what its thread once needed.

    Arrow gets its memory from the system, too: its own pool keeps what one thread allocates and another one frees.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if _allocator() is not None:
        _allocator().mallopt(_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Free what is no longer used, such as a version of the catalogue that was replaced, and give it to the system."""
    gc.collect()
    if _allocator() is not None:
        _allocator().malloc_trim(0)


@cache
def _allocator() -> Any:
    """Return glibc; None where the allocator is another one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except OSError:
        return None

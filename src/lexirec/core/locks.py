"""Lock files: one process at a time, released by the kernel when the process ends.

The lock is an `flock` on an open file, so it ends with its process, `kill -9` included; a file left behind by a dead
process is never mistaken for a lock. The file holds the process id of its holder, for the log of waiting processes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_LOG_SECONDS = 15.0


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock `path` while the block runs; waits for the present holder. `what` names the work in the log."""
    descriptor = _acquire(path, what)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        if _still_there(descriptor, path):  # a file put in its place is another process's lock
            path.unlink(missing_ok=True)  # while held: a waiter sees that its file is no longer the one at `path`
        os.close(descriptor)


@contextmanager
def briefly(path: Path) -> Iterator[None]:
    """Hold the lock `path` for a short piece of work: waits for its turn without polling, and leaves the file there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Return the process id of the lock's holder, or None when nobody holds it (a stale file included)."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor):
            return None
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: str) -> int:
    next_log = time.monotonic() + 1.0
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if _try_lock(descriptor):
            if _still_there(descriptor, path):
                return descriptor
        elif time.monotonic() >= next_log:
            _log.info("waiting for process %s, which is working on %s", holder(path), what)
            next_log = time.monotonic() + _LOG_SECONDS
        os.close(descriptor)
        time.sleep(_POLL_SECONDS)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    """Say whether the locked file is still the one other processes find at `path`."""
    try:
        mine, theirs = os.fstat(descriptor), path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (theirs.st_dev, theirs.st_ino)

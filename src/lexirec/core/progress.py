"""Progress display: bars on a terminal, a log line every few seconds elsewhere, nothing inside `quiet()`.

Bars and logs share one console on stderr (`console()`), so that a log line never tears a bar. Inside
`report_progress_to`, a part of larger work reports its progress to that work instead of showing a bar of its own.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as _RichProgress
from rich.progress import Task as _Task
from rich.progress import TaskID as _TaskID
from rich.text import Text

from lexirec.core.printable import printable_console

T = TypeVar("T")
LOG_EVERY_SECONDS = 5.0
FIRST_LOG_SECONDS = 2.0
_log = logging.getLogger("lexirec.core.progress")


class _Remaining(TimeRemainingColumn):
    """Time left: the work's own estimate where it gives one (`left`), else rich's."""

    def render(self, task: _Task) -> Text:
        left = task.fields.get("left")
        return super().render(task) if left is None else Text(f"~{_duration(left)} left")


class _Board:
    """The live display of the process: rich allows a single one, so all bars share it; it runs while it has a bar."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rich: _RichProgress | None = None

    def add(self, description: str, total: float | None) -> tuple[_RichProgress, _TaskID]:
        with self.lock:
            if self.rich is None:
                self.rich = _RichProgress(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(bar_width=32),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    _Remaining(),
                    TextColumn("{task.fields[text]}", markup=False),
                    console=console(),
                    transient=True,
                )
                self.rich.start()
            return self.rich, self.rich.add_task(description, total=total, text="", left=None)

    def remove(self, rich: _RichProgress, task: _TaskID) -> None:
        with self.lock:
            rich.remove_task(task)
            if not rich.task_ids:
                rich.stop()
                self.rich = None


class _Thread(threading.local):
    """What was asked for in this thread: a service's threads must not silence each other, nor the main one."""

    def __init__(self) -> None:
        self.silences = 0
        self.listener: tuple[Callable[[str], None], int] | None = None  # and the depth of `quiet` it listens at


_board = _Board()
_thread = _Thread()
_console: Console | None = None


def console() -> Console:
    """Return the console on stderr that bars and logs share."""
    global _console
    if _console is None or _console.file is not sys.stderr:  # tests and notebooks replace sys.stderr
        _console = printable_console(Console(file=sys.stderr))
    return _console


@contextmanager
def quiet() -> Iterator[None]:
    """Show no progress of this thread, neither bars nor log lines, while the block runs."""
    _thread.silences += 1
    try:
        yield
    finally:
        _thread.silences -= 1


@contextmanager
def report_progress_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Call `listener` with the progress of work inside the block, such as "Training 40 %", and show nothing else.

    It hears of the work of this thread. Work inside a further `quiet()` is not reported.
    """
    before = _thread.listener
    with quiet():
        _thread.listener = (listener, _thread.silences)
        try:
            yield
        finally:
            _thread.listener = before


class Progress:
    """Progress of one piece of work, as a context manager.

    On a terminal it is a bar that vanishes at the end. Elsewhere it writes log lines to the logger
    `lexirec.core.progress`: none in the first two seconds, then at most one in five, and one at the end if any was
    written.
    """

    def __init__(self, description: str, total: float | None = None) -> None:
        """Describe the work; `total` is the number of steps where it is known."""
        self.description = description
        self.total = total
        self.done = 0.0
        self._text = ""
        self._left: float | None = None
        self._bar: tuple[_RichProgress, _TaskID] | None = None
        self._logged = False

    def __enter__(self) -> Self:
        """Start the clock and, on a terminal, show the bar."""
        self._started = time.monotonic()
        self._next_log = self._started + FIRST_LOG_SECONDS
        self._silent = _thread.silences > 0
        self._listener: Callable[[str], None] | None = None
        if _thread.listener is not None and _thread.listener[1] == _thread.silences:
            self._listener = _thread.listener[0]
        if not self._silent and console().is_terminal:
            self._bar = _board.add(self.description, self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bar away, or write the last log line."""
        if self._bar is not None:
            _board.remove(*self._bar)
            self._bar = None
        elif self._logged and kind is None:
            _log.info("%s: done in %s", self.description, _duration(time.monotonic() - self._started))

    def advance(self, n: float = 1) -> None:
        """Count `n` more steps as done."""
        self.done += n
        if self._listener is not None:
            share = f" {min(1.0, self.done / self.total):.0%}".replace("%", " %") if self.total else ""
            self._listener(f"{self.description}{share}")
        if self._bar is not None:
            self._bar[0].advance(self._bar[1], n)
        elif not self._silent and time.monotonic() >= self._next_log:
            self._write()

    def update(self, text: str, left: float | None = None) -> None:
        """Show `text` (such as the current loss) beside the count, and the seconds left where they are known.

        Without `left`, the time left is estimated from the steps done so far.
        """
        self._text, self._left = text, left
        if self._bar is not None:
            self._bar[0].update(self._bar[1], text=text, left=left)
        elif not self._silent and time.monotonic() >= self._next_log:
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self._next_log, self._logged = now + LOG_EVERY_SECONDS, True
        spent = now - self._started
        count = f"{self.done:,.0f}"
        if self.total:
            by_steps = spent * (self.total - self.done) / self.done if self.done else None
            left = by_steps if self._left is None else self._left
            count += f" of {self.total:,.0f} ({self.done / self.total:.0%})"
            count += f", {_duration(left)} left" if left is not None else ""
        _log.info("%s: %s%s", self.description, count, f"; {self._text}" if self._text else "")


def track(iterable: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yield from `iterable` and show the progress; `total` defaults to its length where it has one."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(description, total) as progress:
        for value in iterable:
            yield value
            progress.advance()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

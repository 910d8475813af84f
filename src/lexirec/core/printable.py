"""Text as it may be shown: without control characters, which drive terminals, and without hidden changes of direction.

Titles, ids and names come from other people's files. An escape sequence in one could rewrite what a terminal shows, and
a bidirectional override could make a line read as another. Both are shown as escapes, such as `\\x1b` and `\\u202e`.
Stored data keep their characters.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # changes of direction
    "\u2028\u2029\ufeff\ufff9-\ufffb\ud800-\udfff"  # line ends of another kind, marks, lone surrogates
    "\U000e0000-\U000e007f]"  # invisible tags
)


def printable(text: str) -> str:
    """Return a text with what must not reach a terminal or a page shown as escapes; tabs and line feeds stay."""
    return _UNSAFE.sub(_escaped, text)


def printable_json(value: Any, **options: Any) -> str:
    """Return a value as JSON in which such characters are escaped, so that it reads back as it was."""
    return _UNSAFE.sub(_json_escape, json.dumps(value, ensure_ascii=False, **options))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


class PrintableFormatter(logging.Formatter):
    """Formatter of log lines whose messages are printable."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the printable line."""
        return printable(super().format(record))


def printable_console(console: Console) -> Console:
    """Make a console print printable text only, and return it; colours and cursor moves of rich itself stay."""
    console.push_render_hook(_Hook(console))
    return console


class _Hook(RenderHook):
    def __init__(self, console: Console) -> None:
        self._console = console

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(self._console, each) for each in renderables]


class _Printable:
    """A renderable whose text is printable."""

    def __init__(self, console: Console, renderable: ConsoleRenderable) -> None:
        self._console = console
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        for segment in self._console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

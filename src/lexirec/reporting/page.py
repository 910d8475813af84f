"""Blocks of a page (headings, text, tables, figures, commands), independent of its output format.

Text is plain; text between `backticks` is code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["", "good", "bad", "strong", "dim"]


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, a small line below, and its tone."""

    text: str
    under: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Heading:
    """The heading of a section (level 2) or subsection (level 3)."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; a `loud` one is emphasised."""

    text: str
    loud: bool = False


@dataclass(frozen=True)
class Bullets:
    """A bulleted list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table; the first `words` columns are left-aligned text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    note: str = ""
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure: the stem of its file name, the matplotlib figure, and its alternative text."""

    name: str
    figure: Any
    words: str


@dataclass(frozen=True)
class Commands:
    """A list of (label, command line), collapsed where the format can."""

    summary: str
    commands: Sequence[tuple[str, str]]


Block = Heading | Text | Bullets | Grid | Picture | Commands


@dataclass(frozen=True)
class Page:
    """A page: title, a summary of one or two sentences, and blocks."""

    title: str
    lead: str
    blocks: Sequence[Block]

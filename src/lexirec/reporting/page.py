"""What a page is made of: blocks of plain numbers, words and figures, whatever it is written as.

Text is plain; what stands between `backticks` is code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["", "good", "bad", "strong", "dim"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, what stands small below, and how it looks."""

    text: str
    under: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Heading:
    """The beginning of a section, or of a part of one (level 3)."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; a `loud` one has to be seen."""

    text: str
    loud: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table; the first `words` columns hold words, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    note: str = ""
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name, the matplotlib figure, what it shows, in words."""

    name: str
    figure: Any
    words: str


@dataclass(frozen=True)
class Commands:
    """Commands by what they make, folded where a page can fold."""

    summary: str
    commands: Sequence[tuple[str, str]]


Block = Heading | Text | Bullets | Grid | Picture | Commands


@dataclass(frozen=True)
class Page:
    """A title, a sentence or two that stand alone, and blocks."""

    title: str
    lead: str
    blocks: Sequence[Block]

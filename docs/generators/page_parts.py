"""Markdown that several generators write: tables, escaped text, first sentences."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

_CODE = re.compile(r"(`+[^`]*`+)")
_SPECIAL = re.compile(r"([\[\]<>*_|\\])")


def escape(text: str) -> str:
    """Return plain text as Markdown within one line, which may hold code in backquotes; a bar is safe in a table."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(
        part.replace("|", "&#124;") if place % 2 else _SPECIAL.sub(r"\\\1", part) for place, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Return text as code that may stand in a table."""
    if "|" in text or "`" in text:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;")
        return f"<code>{escaped}</code>"
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def summary(documented: Any) -> str:
    """Return the first paragraph of an object's docstring in one line, "" without one."""
    text = inspect.getdoc(documented) or ""
    return " ".join(text.split("\n\n")[0].split())


def paragraphs(documented: Any) -> list[str]:
    """Return the paragraphs of an object's docstring before its first section (`Attributes:`, `Raises:` …)."""
    text = inspect.getdoc(documented) or ""
    text = re.split(r"^(?:Attributes|Args|Returns|Raises|Yields|Example):", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]

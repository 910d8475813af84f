"""Write a page as Markdown, and publish it as `report.html` and `report.md` with its figures.

`report.html` is self-contained; `report.md` refers to PNG files beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lexirec.core.printable import printable
from lexirec.reporting import style
from lexirec.reporting.html import page_html
from lexirec.reporting.page import Block, Bullets, Cell, Commands, Grid, Heading, Page, Picture, Text
from lexirec.reporting.run_report import plain


def page_markdown(page: Page) -> str:
    """Return the page as Markdown; its figures are `NAME.png` beside it."""
    parts = [f"# {plain(page.title)}", inline_markdown(page.lead)]
    for block in page.blocks:
        parts += _markdown(block)
    return printable("\n\n".join(part for part in parts if part) + "\n")


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"{'#' * level} {inline_markdown(text)}"
        case Text(text, loud):
            yield f"**{inline_markdown(text)}**" if loud else inline_markdown(text)
        case Bullets(items):
            yield "\n".join(f"- {inline_markdown(item)}" for item in items)
        case Grid():
            yield _markdown_table(block)
            yield f"*{inline_markdown(block.note)}*" if block.note else ""
        case Picture(name, _, words):
            yield f"![{plain(words)}]({name}.png)"
        case Commands(summary, commands):
            yield f"{inline_markdown(summary)}:"
            yield "```sh\n" + "\n".join(f"# {label}\n{command}" for label, command in commands) + "\n```"


def _markdown_table(grid: Grid) -> str:
    rule = ["---" if place < grid.words else "---:" for place in range(len(grid.header))]
    rows = [[_markdown_cell(cell) for cell in row] for row in grid.rows]
    header = [inline_markdown(name) for name in grid.header]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _markdown_cell(given: Cell | str) -> str:
    cell = given if isinstance(given, Cell) else Cell(given)
    text = inline_markdown(cell.text)
    stressed = f"**{text}**" if cell.tone in ("good", "bad", "strong") and text else text
    return f"{stressed} {inline_markdown(cell.under)}" if cell.under else stressed


def inline_markdown(text: str) -> str:
    """Escape Markdown outside of code spans."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if place % 2 else _plain(part) for place, part in enumerate(parts))


def _plain(text: str) -> str:
    """Escape as `plain` does, but keep a space at either end."""
    if not text.strip():
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{plain(text)}{' ' if text[-1].isspace() else ''}"


# ------------------------------------------------------------------------------------------------------ publishing


def write_page(folder: str | Path, page: Page) -> Path:
    """Write `report.html`, `report.md` and a PNG and an SVG of every figure into a folder; return the HTML's path."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pictures = [block for block in page.blocks if isinstance(block, Picture)]
    if len({picture.name for picture in pictures}) < len(pictures):
        raise ValueError(f"page: names of figures must be distinct, given {[picture.name for picture in pictures]}")
    for picture in pictures:
        style.save(picture.figure, target, picture.name)
    (target / "report.md").write_text(page_markdown(page), encoding="utf-8")
    path = target / "report.html"
    path.write_text(page_html(page), encoding="utf-8")
    return path

"""Write a page as one self-contained HTML file: no network, no scripts, light and dark, readable on a phone.

Figures are inline SVG whose colours are CSS variables of the page, so that they follow light and dark mode.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import matplotlib as mpl

from lexirec.core.printable import printable
from lexirec.reporting import style
from lexirec.reporting.page import Block, Bullets, Cell, Commands, Grid, Heading, Page, Picture, Text

_COLOURS: Mapping[str, str] = {
    style.BLUE: "blue",
    style.ORANGE: "orange",
    style.GREEN: "green",
    style.PINK: "pink",
    style.SKY: "sky",
    style.RED: "red",
    style.GREY: "grey",
    style.INK: "ink",
    style.EDGE: "edge",
    style.GRID: "grid",
    style.PALE_GREY: "grey-pale",
    style.DEEP_GREY: "grey-deep",
    "#000000": "ink",
    style.WHITE: "paper",
}
"""Colours of figures -> CSS variables of the page (`page.css`)."""
_PIXELS = 112
"""Largest scale of a figure in pixels per inch: its 10-point letters then match the page's."""
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")


def page_html(page: Page) -> str:
    """Return the page as one HTML document."""
    style = files("lexirec.reporting").joinpath("page.css").read_text(encoding="utf-8")
    body = [f"<h1>{html.escape(page.title)}</h1>", f'<p class="lead">{inline_html(page.lead)}</p>', _contents(page)]
    for number, block in enumerate(page.blocks):
        body += _block(block, number)
    return printable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="generator" content="lexirec">\n'
        f"<title>{html.escape(page.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _contents(page: Page) -> str:
    """Return the navigation with links to the sections; empty for a single section."""
    sections = [(n, block) for n, block in enumerate(page.blocks) if isinstance(block, Heading) and block.level == 2]
    links = "".join(f'<a href="#part-{number}">{inline_html(block.text)}</a>' for number, block in sections)
    return f'<nav aria-label="Sections">{links}</nav>' if len(sections) > 1 else ""


def _block(block: Block, number: int) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f'<h{level} id="part-{number}">{inline_html(text)}</h{level}>'
        case Text(text, loud):
            yield f"<p{' class=loud' if loud else ''}>{inline_html(text)}</p>"
        case Bullets(items):
            yield "<ul>" + "".join(f"<li>{inline_html(item)}</li>" for item in items) + "</ul>"
        case Grid():
            yield _table(block)
        case Picture(name, figure, words):
            drawn = themed_svg(figure, f"f{number}-", words)
            yield f'<figure id="{html.escape(name)}"><div class="scroll">{drawn}</div>'
            yield f"<figcaption>{inline_html(words)}</figcaption></figure>"
        case Commands():
            yield _commands(block)


def _table(grid: Grid) -> str:
    def line(cells: Iterator[tuple[int, str, str, str]], tag: str) -> str:
        filled = [
            f"<{tag}{_classes(('words',) if place < grid.words else (), tone)}>{text}{under}</{tag}>"
            for place, text, under, tone in cells
        ]
        return f"<tr>{''.join(filled)}</tr>"

    head = line(((place, inline_html(name), "", "") for place, name in enumerate(grid.header)), "th")
    rows = [line(((place, *_cell(cell)) for place, cell in enumerate(row)), "td") for row in grid.rows]
    note = f'<p class="note">{inline_html(grid.note)}</p>' if grid.note else ""
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>{note}'


def _cell(cell: Cell | str) -> tuple[str, str, str]:
    if isinstance(cell, str):
        return inline_html(cell), "", ""
    return inline_html(cell.text), f"<small>{inline_html(cell.under)}</small>" if cell.under else "", cell.tone


def _classes(names: tuple[str, ...], tone: str) -> str:
    all_of_them = [*names, *([tone] if tone else [])]
    return f' class="{" ".join(all_of_them)}"' if all_of_them else ""


def _commands(block: Commands) -> str:
    rows = "".join(
        f"<dt>{inline_html(label)}</dt><dd><pre><code>{html.escape(command)}</code></pre></dd>"
        for label, command in block.commands
    )
    return f"<details><summary>{inline_html(block.summary)}</summary><dl>{rows}</dl></details>"


def inline_html(text: str) -> str:
    """Return text as HTML; text between backticks is code."""
    parts = re.split(r"`([^`]+)`", text)
    escaped = (
        f"<code>{html.escape(part)}</code>" if place % 2 else html.escape(part) for place, part in enumerate(parts)
    )
    return "".join(escaped)


# ---------------------------------------------------------------------------------------------------------- figures


def themed_svg(figure: Any, prefix: str, words: str) -> str:
    """Return a figure as inline SVG: text as text, colours as CSS variables, ids unique in the page.

    Args:
        figure: a matplotlib figure.
        prefix: prefix of all ids, which matplotlib repeats in every figure.
        words: alternative text.
    """
    written = io.StringIO()
    with mpl.rc_context({**style.STYLE, "svg.fonttype": "none"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    drawn = written.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"([^>]*?) (?:width|height)="[^"]*"', r"\1\2", drawn, count=1)
    most = f"max-width: {figure.get_figwidth() * _PIXELS:.0f}px"
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{html.escape(words)}" style="{most}"', 1)
    drawn = re.sub(r'\bid="', f'id="{prefix}', drawn)
    drawn = re.sub(r"url\(#", f"url(#{prefix}", drawn)
    drawn = re.sub(r'href="#', f'href="#{prefix}', drawn)
    drawn = re.sub(r"font-family: [^;\"]*", "font-family: inherit", drawn)
    drawn = re.sub(r"(font: [^'\";]*?px) '[^;\"]*", r"\1 system-ui, sans-serif", drawn)
    return _HEX.sub(_variable, drawn).strip()


def _variable(colour: re.Match[str]) -> str:
    name = _COLOURS.get(colour[0].upper())
    return f"var(--{name})" if name else colour[0]

"""Pages as files: `report.html`, which needs nothing beside it, and `report.md` with its figures."""

from __future__ import annotations

from pathlib import Path

from lexirec.reporting import style
from lexirec.reporting.html import page_html
from lexirec.reporting.markdown import page_markdown
from lexirec.reporting.page import Page, Picture


def write_page(folder: str | Path, page: Page) -> Path:
    """Write `report.html`, `report.md` and a PNG and an SVG of every figure into a folder; return the HTML's path."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pictures = [block for block in page.blocks if isinstance(block, Picture)]
    if len({picture.name for picture in pictures}) < len(pictures):
        raise ValueError(f"two pictures have the same name: {[picture.name for picture in pictures]}")
    for picture in pictures:
        style.save(picture.figure, target, picture.name)
    (target / "report.md").write_text(page_markdown(page), encoding="utf-8")
    path = target / "report.html"
    path.write_text(page_html(page), encoding="utf-8")
    return path

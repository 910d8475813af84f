import re
from html.parser import HTMLParser

import pytest

from lexirec.reporting.html import inline_html, page_html, themed_svg
from lexirec.reporting.markdown import write_page
from lexirec.reporting.page import Bullets, Cell, Commands, Grid, Heading, Page, Picture, Text
from lexirec.reporting.study_figures import Mark, rows_figure
from lexirec.reporting.style import BLUE, INK

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Nesting(HTMLParser):
    """Collects tags and refuses what is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def figure():
    marks = [
        Mark("ours <&>", 0.2, (0.1, 0.3), (0.19, 0.21), "reference"),
        Mark("floor", 0.1, (0.05, 0.2), (), "baseline"),
    ]
    return rows_figure({"ndcg@10": marks}, level=0.95)


def page(*more):
    table = Grid(["row", "value"], [[Cell("a <b>", "below", "strong"), "1"], ["`x=1`", Cell("2", tone="bad")]], "note")
    blocks = [
        Heading("One & all"),
        Text("Text with `code <i>`."),
        Text("Seen!", loud=True),
        table,
        Bullets(["first", "second"]),
        Heading("Figures"),
        Picture("rows", figure(), "Rows, drawn"),
        Commands("2 commands", [("one", "lexirec run a.toml --set 'x=[\"y\"]'"), ("two", "lexirec run b.toml")]),
        *more,
    ]
    return Page("A <title>", "What it is.", blocks)


@pytest.fixture(scope="module")
def parsed():
    nesting, text = Nesting(), page_html(page())
    nesting.feed(text)
    assert nesting.open == []
    return text, nesting.seen


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs(parsed):
    text, seen = parsed
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in seen}
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org)", text)
    assert all(str(value).startswith("#") for _, each in seen for name, value in each.items() if name == "href")


def test_it_fits_phones_and_follows_light_and_dark(parsed):
    text, seen = parsed
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in seen
    assert "prefers-color-scheme: dark" in text
    wide = re.findall(r'<div class="scroll"><(table|svg)', text)
    assert sorted(wide) == ["svg", "table"], "what is wide scrolls alone"


def test_what_was_given_is_text_not_markup(parsed):
    text, _ = parsed
    assert "<title>A &lt;title&gt;</title>" in text
    assert "a &lt;b&gt;<small>below</small>" in text
    assert "<code>code &lt;i&gt;</code>" in text
    assert "x=[&quot;y&quot;]" in text
    assert "<p class=loud>Seen!</p>" in text
    assert inline_html("a `b` c & `d`") == "a <code>b</code> c &amp; <code>d</code>"


def test_sections_are_linked(parsed):
    _, seen = parsed
    links = [each["href"] for tag, each in seen if tag == "a"]
    ids = {f"#{each['id']}" for tag, each in seen if tag == "h2"}
    assert len(links) == 2
    assert set(links) == ids


def test_ids_are_unique_with_several_figures():
    text = page_html(page(Picture("again", figure(), "Once more")))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'xlink:href="#([^"]+)"', text))
    assert used <= set(ids)
    with pytest.raises(ValueError, match="must be distinct"):
        write_page("nowhere", page(Picture("rows", figure(), "Once more")))


def test_figures_take_the_pages_colours_and_fonts():
    drawn = themed_svg(figure(), "f-", 'rows "and" all')
    assert BLUE.lower() not in drawn.lower()
    assert INK.lower() not in drawn.lower()
    assert "var(--blue)" in drawn
    assert "var(--ink)" in drawn
    assert "DejaVu" not in drawn
    assert ">ours &lt;&amp;&gt;<" in drawn, "text stays text"
    head = drawn[: drawn.index(">")]
    assert "viewBox" in head
    assert " width=" not in head
    assert 'aria-label="rows &quot;and&quot; all"' in head


def test_a_page_is_written_with_its_figures(tmp_path):
    path = write_page(tmp_path, page())
    assert path == tmp_path / "report.html"
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "report.md", "rows.png", "rows.svg"}
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# A \\<title\\>\n\nWhat it is.\n\n## One & all\n\nText with `code <i>`.\n\n**Seen!**\n")
    assert "| row | value |\n| --- | ---: |\n| **a \\<b\\>** below | 1 |\n| `x=1` | **2** |\n\n*note*" in text
    assert "![Rows, drawn](rows.png)" in text
    assert "# two\nlexirec run b.toml\n```" in text

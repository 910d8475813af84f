"""The site builds strictly, from the repository alone, and loads nothing from elsewhere."""

import re
from pathlib import Path

import draw_systems
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LOADED = re.compile(r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\" >]+)|<link[^>]* href=\"?(https?:[^\" >]+)")


def built(folder: Path, **changes) -> Path:
    """Build the site as `make docs` does."""
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True, **changes))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("site"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_builds_and_has_a_page_for_every_source(site):
    sources = [path.relative_to(DOCS).with_suffix("") for path in DOCS.glob("**/*.md")]
    pages = [site / (path.parent if path.name == "index" else path) / "index.html" for path in sources]
    assert [str(page) for page in pages if not page.is_file()] == []
    for page in ("reference/commands", "reference/settings/model", "reference/python/models.gram", "contributing"):
        assert (site / page / "index.html").is_file(), page


@pytest.mark.long
def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.glob("**/*.html"):
        assert LOADED.findall(page.read_text(encoding="utf-8")) == [], page


@pytest.mark.long
def test_docstrings_are_there(site):
    page = (site / "reference" / "python" / "decoding" / "index.html").read_text(encoding="utf-8")
    assert 'id="lexirec.decoding.trie.Trie.build"' in page


def one_page(folder: Path, text: str) -> None:
    """Build a site of one page with the settings of ours."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "index.md").write_text(f"# Home\n\n{text}\n", encoding="utf-8")
    settings = f"INHERIT: {ROOT / 'mkdocs.yml'}\nhooks: []\nextra_css: []\nnav: [index.md]\n"
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")
    build(load_config(str(folder / "mkdocs.yml")))


@pytest.mark.long
def test_a_broken_link_anchor_or_reference_fails(tmp_path):
    one_page(tmp_path, "[here](#home)")
    for text in ("[there](nowhere.md)", "[there](#nowhere)", "[`x`][lexirec.nowhere.x]", "![figure](nothing.svg)"):
        with pytest.raises(Abort):
            one_page(tmp_path, text)


def test_every_month_and_every_decision_is_listed():
    for folder in ("log", "decisions"):
        index = (DOCS / folder / "index.md").read_text(encoding="utf-8")
        pages = {path.name for path in (DOCS / folder).glob("*.md")} - {"index.md"}
        assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == pages


def test_the_figures_of_the_systems_are_as_they_are_drawn():
    for name, draw in draw_systems.FIGURES_OF.items():
        assert (DOCS / "figures" / name).read_text(encoding="utf-8") == str(draw()), "run python docs/draw_systems.py"
        page = (DOCS / "systems" / name.replace(".svg", ".md")).read_text(encoding="utf-8")
        assert f"](../figures/{name})" in page

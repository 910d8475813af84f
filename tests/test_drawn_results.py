"""The figures of docs/results.md show what its tables say."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def drawing():
    found = importlib.util.spec_from_file_location("draw_results", DOCS / "draw_results.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page():
    return (DOCS / "results.md").read_text(encoding="utf-8")


def test_figures_are_drawn_from_the_tables_as_they_are(drawing, page):
    found = list(drawing.sections(page))
    assert len(found) == page.count("\n## ")
    for title, rows in found:
        with Image.open(drawing.path(title)) as image:
            shown = image.text["Description"]
        assert shown == drawing.written(rows), "run python docs/draw_results.py"


def test_the_page_shows_every_figure(drawing, page):
    figures = [drawing.path(title).relative_to(DOCS).as_posix() for title, _ in drawing.sections(page)]
    assert [page.count(f"]({figure})") for figure in figures] == [1] * len(figures)


def test_only_rows_with_seen_items_excluded_are_drawn_and_the_first_of_a_system(drawing):
    head = "| system | R@5 | N@5 | R@10 | N@10 | seeds | best seed |"
    cells = "| .1 [.0, .2] | .1 [.0, .2] | .1 [.0, .2] |"
    text = f"""# Page
## Some Set 2000

**Seen items excluded**

{head}
| one {cells} .30 ▲ [.20, .40] | 3 ± .0002 | .31 |

**Seen items kept**

{head}
| kept {cells} .50 [.20, .40] | 1 | .50 |

### again

{head}
| one {cells} .90 [.80, .95] | 1 | .9 |
| two {cells} .10 ▼ [.05, .15] | 1 | .1 |
"""
    [(title, rows)] = drawing.sections(text)
    assert title == "Some Set 2000"
    assert rows == [("one", 0.3, (0.2, 0.4), 3), ("two", 0.1, (0.05, 0.15), 1)]


def test_a_system_of_no_family_is_named(drawing):
    with pytest.raises(SystemExit, match="'unheard of' belongs to no family"):
        drawing.colour("unheard of")

"""The code of the tutorials, the quick start and the systems' pages runs and prints what the pages show."""

from pathlib import Path

import pytest
from tutorial import Shown, run_tutorial

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = [path for path in sorted(DOCS.glob("tutorials/*.md")) if path.name != "index.md"]
OTHERS = [DOCS / "quickstart.md", *sorted(DOCS.glob("systems/*.md"))]


def ids(path: Path) -> str:
    return path.stem


@pytest.mark.long
@pytest.mark.parametrize("path", TUTORIALS, ids=ids)
def test_a_tutorial_runs_and_prints_what_it_shows(path, tmp_path):
    shown = list(run_tutorial(path.read_text(encoding="utf-8"), tmp_path))
    wrong = [f"line {each.line}:\n{each.printed}" for each in shown if not each.agrees]
    assert not wrong, "\n".join([f"run: python docs/generators/tutorial.py docs/tutorials/{path.name}", *wrong])
    assert sum(not each.varies for each in shown) >= 1, "something of a tutorial should be the same everywhere"
    assert len(shown) >= 4


@pytest.mark.long
@pytest.mark.parametrize("path", OTHERS, ids=ids)
def test_the_code_of_other_pages_runs(path, tmp_path):
    assert all(each.agrees for each in run_tutorial(path.read_text(encoding="utf-8"), tmp_path))


def test_there_are_three_tutorials_and_the_index_names_them():
    index = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert [f"]({path.name})" in index for path in TUTORIALS] == [True] * 3


PAGE = """# Page

```toml title="some.txt"
a = 1
```

```python
print(open("some.txt").read(), 1.5)
print("end")
```
<!-- output -->
```text
a = 1
 1.5
end
```
<!-- output: from "1.5" first 1 varies -->
```text
…
 2.5
…
```
"""


def test_blocks_run_in_order_and_titled_ones_are_files(tmp_path):
    whole, part = run_tutorial(PAGE, tmp_path)
    assert (tmp_path / "some.txt").read_text() == "a = 1\n"
    assert (whole.agrees, whole.varies, whole.line) == (True, False, 11)
    assert (part.agrees, part.varies) == (True, True)
    assert part.printed == "…\n 1.5\n…\n"


def test_another_output_does_not_agree(tmp_path):
    whole, part = run_tutorial(PAGE.replace("end\n```", "End\n```").replace(" 2.5", "2.5 more"), tmp_path)
    assert not whole.agrees
    assert not part.agrees


def test_a_command_that_fails_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit, match="failed: lexirec show nothing"):
        list(run_tutorial("```sh\nlexirec show nothing\n```\n", tmp_path))


def test_figures_and_only_figures_may_vary():
    assert Shown("model .12 -3.4e-5\n", "model .98 7\n", True, (0, 0), 1).agrees
    assert not Shown("model .12\n", "models .12\n", True, (0, 0), 1).agrees
    assert not Shown("model .12\n", "model .13\n", False, (0, 0), 1).agrees

"""The generated references hold every setting, every command and every public name."""

import re
from pathlib import Path
from typing import Annotated, Literal

import command_reference
import hooks
import page_parts
import pytest
import settings_reference
import typer
from annotated_types import Ge
from pydantic import Field

import lexirec
from lexirec.cli.options import app
from lexirec.core.config import Settings, usual_kind
from lexirec.pipeline.experiment import Experiment


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return hooks.generated()


class Small(Settings):
    """A small one."""

    kind: Literal["small"] = "small"
    size: Annotated[int, Field(ge=1)] = 3
    """How large | it is."""


class Large(Settings):
    """A large one.

    With a second paragraph about `a[0]` and b[0].
    """

    kind: Literal["large"] = "large"
    path: Path
    """Where [it] is."""


class Inner(Settings):
    """Inside."""

    names: tuple[str, ...] = ()
    """Some names."""


Sizes = Annotated[Small | Large, Field(discriminator="kind"), usual_kind("small")]


class Whole(Settings):
    """All."""

    seed: int = 0
    """The seed."""
    size: Sizes | None = None
    """Its size."""
    others: dict[str, Sizes] = Field(default_factory=dict)
    """More of them."""
    inner: Inner = Inner(names=("a",))
    """What is inside."""


def test_settings_pages_have_a_section_for_each_class_and_link_to_it():
    made = settings_reference.settings_pages(Whole)
    folder = settings_reference.FOLDER
    assert set(made) == {f"{folder}/{name}.md" for name in ("index", "size", "others", "inner")}
    size = made[f"{folder}/size.md"]
    assert '## `[size]` `kind = "small"` (default) {#size-small}' in size
    assert '## `[size]` `kind = "large"` {#size-large}' in size
    assert "| integer ≥ 1 | `3` | How large \\| it is. |" in size
    assert "| path | *required* | Where \\[it\\] is. |" in size
    assert "With a second paragraph about `a[0]` and b\\[0\\]." in size
    assert "[`small`](size.md#size-small)" in made[f"{folder}/others.md"]
    assert "| list of text | `[]` | Some names. |" in made[f"{folder}/inner.md"]
    index = made[f"{folder}/index.md"]
    assert "[`[others.NAME]`](others.md) | More of them. | `small`, `large` |" in index
    assert "| integer | `0` | The seed. |" in index


def test_other_files_have_a_page_and_link_to_what_experiments_have_too():
    made = settings_reference.settings_pages(Whole, {"More files": Whole})
    page = made[settings_reference.OTHER]
    assert "## More files {#more-files}" in page
    assert "[`small`](settings/size.md#size-small)" in page


def test_types_are_told_in_words():
    told = settings_reference.type_text
    assert told(int | None) == "integer"
    assert told(Literal["a", 1]) == '`"a"` or `1`'
    assert told(Annotated[float, Ge(0)] | str) == "number ≥ 0 or text"
    assert told(dict[str, tuple[int, int]]) == "table of list: integer, integer"
    assert told(list[str] | None) == "text, any number"


def test_every_setting_of_an_experiment_is_described(pages):
    waiting, met, missing = [Experiment, *hooks.FILES.values()], set(), []
    places = (settings_reference.FOLDER, settings_reference.OTHER)
    text = "".join(content for path, content in pages.items() if path.startswith(places))
    while waiting:
        cls = waiting.pop()
        if cls in met:
            continue
        met.add(cls)
        for name, info in cls.model_fields.items():
            waiting += settings_reference.classes_of(info.annotation)
            described = not info.description or page_parts.escape(info.description) in text
            shown = f"`{name}`" in text or f"`[{name}" in text
            if name != "kind" and not (shown and described):
                missing.append((cls.__name__, name))
    assert len(met) > 40
    assert missing == []


def test_links_between_pages_of_settings_lead_to_sections(pages):
    for path, content in pages.items():
        if not path.startswith(settings_reference.FOLDER):
            continue
        for page, anchor in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", content):
            there = pages[f"{settings_reference.FOLDER}/{page}" if page else path]
            assert f"{{#{anchor}}}" in there, (path, page, anchor)


def test_every_command_and_option_is_described(pages):
    page = pages[command_reference.PATH]
    command = typer.main.get_command(app)
    groups = {name: each.commands for name, each in command.commands.items() if hasattr(each, "commands")}
    assert groups.keys() == {"bench", "catalog"}
    names = [name for name in command.commands if name not in groups]
    names += [f"{group} {name}" for group, commands in groups.items() for name in commands]
    assert sorted(re.findall(r"^## `lexirec ([a-z -]+)`", page, re.MULTILINE)) == sorted(names)
    for option in ("--quiet", "--set", "--history", "--fail-on", "-k", "--metric", "--with", "LEXIREC_STORE"):
        assert f"`{option}`" in page, option
    assert "| `EXPERIMENT.toml` | path | *required* |" in page


def test_public_names_come_first_and_every_package_has_a_page(pages):
    index = pages["reference/python/index.md"]
    assert re.findall(r"^\| \[`(\w+)`\]", index, re.MULTILINE) == list(lexirec.__all__)
    root = Path(lexirec.__file__).parent
    modules = {path for path in root.glob("*/**/*.py") if not path.name.startswith("_")}
    text = "\n".join(content for path, content in pages.items() if path.startswith("reference/python/"))
    for path in modules:
        assert f"::: lexirec.{'.'.join(path.relative_to(root).with_suffix('').parts)}\n" in text


def test_lists_in_the_navigation_are_filled_with_the_index_first():
    pages = ["a/1.md", "a/2.md", "a/index.md", "b.md"]
    assert hooks.filled({"A": "a/*"}, pages) == {"A": ["a/index.md", "a/1.md", "a/2.md"]}
    assert hooks.filled(["newest/a/*", "b.md"], pages) == [["a/index.md", "a/2.md", "a/1.md"], "b.md"]

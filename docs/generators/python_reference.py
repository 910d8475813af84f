"""Pages of the Python reference: the public names first, then a page for each package; mkdocstrings fills them."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

from page_parts import escape, summary, table

FOLDER = "reference/python"
_INTRODUCTION = """\
# Public names

`from lexirec import …` offers these names; each is imported from its module when it is first used, so `import lexirec`
stays fast. They are the ones that are kept stable. The packages behind them are described on the pages that follow."""


def python_pages(package: ModuleType) -> dict[str, str]:
    """Return path -> Markdown: the public names of the library, and a page for each package below it."""
    root = Path(str(package.__file__)).parent
    pages = {f"{FOLDER}/index.md": _public_names(package)}
    for init in sorted(root.glob("*/**/__init__.py")):
        name = ".".join(init.parent.relative_to(root).parts)
        modules = [path for path in sorted(init.parent.glob("*.py")) if _is_public(path)]
        if modules:
            pages[f"{FOLDER}/{name}.md"] = _package(package.__name__, name, init, modules)
    for path in filter(_is_public, sorted(root.glob("*.py"))):
        name = f"{package.__name__}.{path.stem}"
        pages[f"{FOLDER}/{path.stem}.md"] = f"# `{name}`\n\n::: {name}\n"
    return pages


def _is_public(path: Path) -> bool:
    """Say whether a file is a module with a public name."""
    return not path.stem.startswith("_")


def _public_names(package: ModuleType) -> str:
    rows = []
    for name in package.__all__:
        found = getattr(package, name)
        home = f"{found.__module__}.{found.__qualname__}"
        rows.append((f"[`{name}`][{home}]", escape(summary(found)), f"`{found.__module__.rpartition('.')[0]}`"))
    return f"{_INTRODUCTION}\n\n{table(('name', 'what it is', 'package'), rows)}"


def _package(library: str, name: str, init: Path, modules: list[Path]) -> str:
    full = f"{library}.{name}"
    docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    parts = [f"# `{full}`", *(escape(part) for part in docstring.split("\n\n"))]
    for path in modules:
        parts.append(f"::: {full}.{path.stem}")
    return "\n\n".join(parts) + "\n"

"""Pages, modules and files that the text of the project mentions exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "lexirec"
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TEXTS += [path for kind in ("docs/**/*.md", "src/**/*.py", "experiments/**/*.toml") for path in ROOT.glob(kind)]
PRESENT = [path for path in (ROOT / "docs").glob("**/*.md") if path.parent.name != "log" and path.name != "results.md"]


def test_mentioned_pages_exist():
    missing = []
    for path in TEXTS:
        for name in re.findall(r"\bdocs/[\w-]+(?:/[\w-]+)*(?:\.md|/)", path.read_text(encoding="utf-8")):
            if not (ROOT / name).exists():
                missing.append((str(path.relative_to(ROOT)), name))
    assert missing == []


@pytest.mark.parametrize("path", PRESENT, ids=lambda path: path.stem)
def test_mentioned_modules_exist(path):
    """Names such as `decoding.trie.Trie` whose first part is a package; the log and the results tell of older code."""
    packages = {init.parent.name for init in SRC.glob("*/__init__.py")}
    for name in re.findall(r"`(?:lexirec\.)?(\w+(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
        package, *rest = name.split(".")
        if package not in packages or name.startswith(("training.distillation", "data.max_history")):
            continue
        place = SRC / package
        while rest and (place / rest[0]).is_dir():
            place /= rest.pop(0)
        module = place / f"{rest[0]}.py" if rest else place / "__init__.py"
        assert module.is_file(), f"{path.name} mentions {name}"
        if rest[1:]:
            assert re.search(rf"^(?:class |def )?{rest[1]}\b", module.read_text(encoding="utf-8"), re.MULTILINE), name

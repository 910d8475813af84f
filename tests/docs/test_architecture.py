"""docs/architecture.md shows the layers that import-linter holds, and every package once."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SRC = ROOT / "src" / "lexirec"


def contracts() -> list[dict]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["importlinter"]["contracts"]


def test_the_layers_are_those_of_the_contract():
    [layers] = [contract["layers"] for contract in contracts() if contract["type"] == "layers"]
    held = [[name.strip().removeprefix("lexirec.") for name in layer.split("|")] for layer in layers]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [re.findall(r"`(\w+)`", names) for _, names in rows] == held
    assert [int(number) for number, _ in rows] == list(range(len(held), 0, -1))


def test_every_package_has_one_line():
    packages = {path.parent.name for path in SRC.glob("*/__init__.py")} | {"testing"}
    _, table = PAGE.split("## Packages\n")
    named = re.findall(r"^\| `(\w+)` \|", table.split("\n## ")[0], re.MULTILINE)
    assert sorted(named) == sorted(packages)


def test_what_is_free_of_torch_is_held_so():
    held = [contract for contract in contracts() if "torch" in contract.get("forbidden_modules", [])]
    free = {name.removeprefix("lexirec.") for contract in held for name in contract["source_modules"]}
    assert {"core", "data", "evaluation.metrics"} <= free

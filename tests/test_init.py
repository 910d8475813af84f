import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lexirec


def test_every_public_name_is_what_its_module_holds():
    for name in lexirec.__all__:
        assert getattr(lexirec, name) is getattr(import_module(f"lexirec.{lexirec._HOMES[name]}"), name)
    assert set(lexirec.__all__) <= set(dir(lexirec))


def test_type_checkers_and_readers_see_the_same_names():
    typed = {
        alias.name: node.module.removeprefix("lexirec.")
        for node in ast.walk(ast.parse(Path(lexirec.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lexirec.")
        for alias in node.names
    }
    assert typed == lexirec._HOMES
    assert sorted(typed) == sorted(lexirec.__all__)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'Catalogue'"):
        _ = lexirec.Catalogue


def test_importing_the_package_imports_nothing_heavy():
    code = "import lexirec, sys; print([m for m in ('torch', 'numpy', 'pyarrow', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""Limits on size: modules, functions, arguments and settings, with the exceptions of today listed and none added."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from lexirec.core.config import Settings

SOURCE = Path(__file__).resolve().parents[1] / "src" / "lexirec"
MODULE_LINES, FUNCTION_LINES, ARGUMENTS, SETTINGS, MODULES = 300, 60, 6, 12, 24

LONG_MODULES: dict[str, int] = {}
"""Modules with more lines, and how many they may have."""
MANY_ARGUMENTS: dict[str, int] = {
    "data/interactions:Interactions.read": 7,
    "models/baselines/sequential_training:fit_sequences": 7,
    "models/ensemble/partner_search:find_partner": 7,
    "models/tsrec/grpo:reinforce": 7,
    "models/tsrec/grpo:reinforce_recommender": 7,
    "models/tsrec/network:TSRecNetwork.forward": 7,
    "models/tsrec/sft:fit_tsrec": 8,
}
"""Functions with more arguments, and how many they may have; commands of the command line are not counted."""
MANY_SETTINGS: dict[str, int] = {
    "BackboneSettings": 13,
    "DataSettings": 19,
    "EnsembleSettings": 15,
    "Experiment": 16,
    "GrpoSettings": 16,
    "LLMLexicon": 13,
    "Manifest": 13,
    "MemorySettings": 13,
    "StudySettings": 13,
}
"""Settings classes with more fields, and how many they may have."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")


def is_command(node: ast.FunctionDef) -> bool:
    return any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list)


def arguments_of(node: ast.FunctionDef) -> int:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in given if argument.arg not in ("self", "cls")])


def beyond(found: dict[str, int], limit: int) -> dict[str, int]:
    return {name: count for name, count in found.items() if count > limit}


def check(found: dict[str, int], limit: int, exceptions: dict[str, int]) -> None:
    over = beyond(found, limit)
    assert set(over) <= set(exceptions), f"over {limit}: split it, do not list it"
    assert not [name for name, count in over.items() if count > exceptions[name]], "an exception has grown"
    assert set(exceptions) <= set(over), "no longer over the limit: take it off the list"


def test_modules_are_short():
    check({name_of(path): len(path.read_text("utf-8").splitlines()) for path in modules()}, MODULE_LINES, LONG_MODULES)


def test_functions_are_short_and_take_few_arguments():
    lengths, arguments = {}, {}
    for path in modules():
        for name, node in functions(ast.parse(path.read_text("utf-8"))):
            lengths[f"{name_of(path)}:{name}"] = node.end_lineno - node.lineno + 1
            if not is_command(node):
                arguments[f"{name_of(path)}:{name}"] = arguments_of(node)
    check(lengths, FUNCTION_LINES, {})
    check(arguments, ARGUMENTS, MANY_ARGUMENTS)


def settings_classes(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in cls.__subclasses__():
        yield each
        yield from settings_classes(each)


def test_classes_have_few_settings():
    import lexirec.pipeline.experiment  # loads the settings of every part
    import lexirec.serving.settings
    import lexirec.workflows.studies.design
    import lexirec.workflows.transfer.settings
    import lexirec.workflows.tuning.settings  # noqa: F401

    found = {
        each.__name__: sum("ClassVar" not in str(kind) for kind in each.__annotations__.values())
        for each in settings_classes(Settings)
        if each.__module__.startswith("lexirec.")
    }
    check(found, SETTINGS, MANY_SETTINGS)


@pytest.mark.parametrize("folder", sorted({path.parent for path in modules()}), ids=lambda path: path.name)
def test_folders_hold_few_modules(folder):
    assert len(list(folder.glob("*.py"))) <= MODULES


def test_the_root_of_the_package_holds_two_modules():
    assert {path.name for path in SOURCE.iterdir() if path.is_file()} == {"__init__.py", "testing.py", "py.typed"}


def collections_made_again(tree: ast.AST) -> Iterator[str]:
    """Yield the tests of membership, in conditions of comprehensions, that make their set or list for every item."""
    for made in ast.walk(tree):
        conditions = made.ifs if isinstance(made, ast.comprehension) else []
        for test in (each for condition in conditions for each in ast.walk(condition)):
            if isinstance(test, ast.Compare) and isinstance(test.ops[0], (ast.In, ast.NotIn)):
                holder = test.comparators[0]
                if isinstance(holder, ast.Call) and ast.unparse(holder.func) in ("set", "frozenset", "list", "dict"):
                    yield ast.unparse(test)


def test_no_set_is_made_for_every_item_of_a_comprehension():
    assert list(collections_made_again(ast.parse("[x for x in a if x in set(b)]"))) == ["x in set(b)"]
    trees = {name_of(path): ast.parse(path.read_text("utf-8")) for path in modules()}
    found = {name: list(collections_made_again(tree)) for name, tree in trees.items()}
    assert {name: tests for name, tests in found.items() if tests} == {}, "work grows with the square: make it once"

"""The command reference: every command with its arguments and options, made from the command line's own definition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import typer
from page_parts import code, escape, paragraphs, summary, table
from settings_reference import type_text
from typer.models import ArgumentInfo, ParameterInfo

PATH = "reference/commands.md"
_INTRODUCTION = """\
# Command reference

Generated from the command line's own definition; `lexirec COMMAND --help` prints the same. Results go to standard
output, progress and logs to standard error. A user's mistake is one line on standard error and exit status 1.

`EXPERIMENT.toml` is a path, or `lexirec:NAME` for a file shipped with the package."""


class Parameter(NamedTuple):
    """One argument or option of a command."""

    name: str
    info: ParameterInfo
    annotation: Any
    default: Any

    @property
    def is_argument(self) -> bool:
        """Whether it is given by its place."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def spelled(self) -> list[str]:
        """How it is written: an argument's placeholder, or the spellings of an option."""
        if self.is_argument:
            return [self.info.metavar or self.name.upper()]
        first = (
            [self.info.default] if isinstance(self.info.default, str) else []
        )  # where `Annotated` keeps the first one
        return [*first, *(self.info.param_decls or ())] or [f"--{self.name.strip('_').replace('_', '-')}"]


def command_page(app: typer.Typer) -> str:
    """Return the Markdown of the page."""
    parts = [_INTRODUCTION]
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        parts += ["## Options before any command", _parameters(app.registered_callback.callback)]
    commands = sorted(_commands(app, "lexirec"), key=lambda entry: entry[0])
    rows = [(f"[`{name}`](#{_anchor(name)})", escape(summary(function))) for name, function in commands]
    parts += ["## All commands", table(("command", "what it does"), rows)]
    for name, function in commands:
        parts += [f"## `{name}` {{#{_anchor(name)}}}", *map(escape, paragraphs(function))]
        parts += [f"```text\n{_usage(name, function)}\n```", _parameters(function)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(app: typer.Typer, name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the full name and the function of every command; groups are entered."""
    for command in app.registered_commands:
        if command.callback is not None and not command.hidden:
            own = command.name or command.callback.__name__.strip("_").replace("_", "-")
            yield f"{name} {own}", command.callback
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{name} {group.name}")


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Return the arguments and options of a command's function, in order."""
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation, *extras = get_args(hints[name])
        info = next(each for each in extras if isinstance(each, ParameterInfo))
        found.append(Parameter(name, info, annotation, parameter.default))
    return found


def _anchor(name: str) -> str:
    return name.removeprefix("lexirec ").replace(" ", "-")


def _usage(name: str, function: Callable[..., Any]) -> str:
    arguments = [each for each in parameters_of(function) if each.is_argument]
    return " ".join([name, *map(_placeholder, arguments), "[OPTIONS]"])


def _placeholder(argument: Parameter) -> str:
    name = argument.spelled[0]
    needed = argument.default is inspect.Parameter.empty
    return name if needed or name.startswith("[") else f"[{name}]"


def _parameters(function: Callable[..., Any]) -> str:
    rows = []
    for each in parameters_of(function):
        spelled = ", ".join(map(code, each.spelled))
        rows.append((spelled, _takes(each), _default(each), _meaning(each)))
    return table(("name", "takes", "default", "meaning"), rows) if rows else ""


def _takes(parameter: Parameter) -> str:
    if parameter.annotation is bool:
        return "–"
    kind = type_text(parameter.annotation)
    if parameter.is_argument or not parameter.info.metavar:
        return kind
    return code(parameter.info.metavar)


def _default(parameter: Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "*required*"
    if parameter.default in (None, False):
        return "–"
    return code(str(parameter.default) if isinstance(parameter.default, (Path, str)) else repr(parameter.default))


def _meaning(parameter: Parameter) -> str:
    variable = f" Environment variable: `{parameter.info.envvar}`." if parameter.info.envvar else ""
    return escape(parameter.info.help or "") + variable

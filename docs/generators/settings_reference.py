"""The configuration reference: a page for each table of an experiment file, made from the settings classes.

A class is described once, where the walk meets it first; other tables that hold it link there.
"""

from __future__ import annotations

import datetime
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from page_parts import code, escape, paragraphs, table
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from lexirec.core.config import Settings, as_toml

FOLDER = "reference/settings"
OTHER = "reference/files.md"
_PLAIN = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    datetime.date: "date",
    datetime.datetime: "date with time",
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_EXAMPLE = re.compile(r"\[\w+\.\w+\] |\w = ")
"""What only a paragraph that is an example has."""
_HEAD = ("setting", "type", "default", "meaning")
_INTRODUCTION = """\
# Configuration reference

An experiment is a TOML file. These pages are generated from the classes that read it: every setting with its type,
its default and its meaning. Unknown names are refused with the nearest known one.

- A table that is left out is not made, or has the defaults given here.
- `kind` chooses between the variants of a table; the variant marked *default* is taken where it is left out.
- `extends = "other.toml"` reads another file first and merges this one into it, table by table; the files of a list
  are merged in order. `lexirec:NAME` is a file shipped with the package. A table whose `kind` changes starts afresh.
- `--set model.training.epochs=4` overrides one setting on the command line; `--set 'baselines={}'` empties a table.
- Relative paths start at the folder of the file that holds them; `~`, `$NAME` and `${NAME:-default}` are expanded."""


class Section(NamedTuple):
    """The description of one settings class.

    Attributes:
        cls: The class.
        table: The dotted name of its table, such as `model.training`.
        title: The heading.
        page: The page it stands on, below the documentation's folder.
        anchor: The heading's anchor.
        level: The heading's level.
    """

    cls: type[Settings]
    table: str
    title: str
    page: str
    anchor: str
    level: int


def settings_pages(experiment: type[Settings], files: Mapping[str, type[Settings]] | None = None) -> dict[str, str]:
    """Return path -> Markdown: the index, a page for each table of an experiment file, and one of other files.

    Args:
        experiment: What reads an experiment file.
        files: Heading -> what reads another kind of file.
    """
    tables = {name: info for name, info in experiment.model_fields.items() if classes_of(info.annotation)}
    homes: dict[type[Settings], Section] = {}
    for name, info in tables.items():
        title = f"{name}.NAME" if get_origin(info.annotation) is dict else name
        _place(info, title, f"{FOLDER}/{name}.md", 2, homes)
    pages = {f"{FOLDER}/index.md": _index(experiment, tables, homes)}
    for name, info in tables.items():
        page = f"{FOLDER}/{name}.md"
        title = f"{name}.NAME" if get_origin(info.annotation) is dict else name
        parts = [f"# `[{title}]`", escape(info.description or "")]
        away = [homes[cls] for cls in classes_of(info.annotation) if homes[cls].page != page]
        parts += [f"{_link(section, page)} is described with `[{section.table}]`." for section in away]
        for section in homes.values():
            if section.page == page:
                parts += _description(section, homes)
        pages[page] = "\n\n".join(parts) + "\n"
    if files:
        pages[OTHER] = _other_files(files, homes)
    return pages


def classes_of(annotation: Any) -> list[type[Settings]]:
    """Return the settings classes that an annotation allows, as they stand; of a dictionary those of its values."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, UnionType, dict, tuple):
        inner = get_args(annotation)
        inner = inner[:1] if get_origin(annotation) is Annotated else inner
        return [cls for each in inner for cls in classes_of(each)]
    return []


def type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return a type in words, with the bounds of numbers, as Markdown for a table."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(inner[0], [*inner[1:], *metadata])
    if origin is Literal:
        return " or ".join(code(as_toml(value)) for value in inner)
    if origin in (Union, UnionType):
        kinds = list(dict.fromkeys(type_text(each, metadata) for each in inner if each is not NoneType))
        return " or ".join(kinds)
    if origin is tuple:
        if inner[1:] == (...,):
            return f"list of {type_text(inner[0])}"
        return f"list: {', '.join(map(type_text, inner))}"
    if origin is list:
        return f"{type_text(inner[0])}, any number"
    if origin is dict:
        return f"table of {type_text(inner[1])}"
    return _PLAIN.get(annotation, escape(getattr(annotation, "__name__", str(annotation)))) + _bounds(metadata)


def _bounds(metadata: Sequence[Any]) -> str:
    constraints = [part for each in metadata for part in (each.metadata if isinstance(each, FieldInfo) else [each])]
    found = [
        f"{sign} {getattr(each, name)}" for name, sign in _BOUNDS.items() for each in constraints if hasattr(each, name)
    ]
    return f" {', '.join(found)}" if found else ""


# --------------------------------------------------------------------------------------------- where classes stand


def _place(info: FieldInfo, name: str, page: str, level: int, homes: dict[type[Settings], Section]) -> None:
    """Give the classes of a setting, and those inside them, a section, unless they have one."""
    classes, usual = classes_of(info.annotation), _usual_kind(info)
    for cls in classes:
        if cls in homes:
            continue
        title, anchor = f"`[{name}]`", name
        if len(classes) > 1:
            kind = _kind(cls)
            title = f'`[{name}]` `kind = "{kind}"`{" (default)" if kind == usual else ""}'
            anchor = f"{name}-{kind}"
        homes[cls] = Section(cls, name, title, page, anchor.replace(".", "-").lower(), level)
        for key, inner in cls.model_fields.items():
            if classes_of(inner.annotation):
                _place(inner, f"{name}.{key}", page, min(level + 1, 5), homes)


def _kind(cls: type[Settings]) -> str | None:
    return cls.model_fields["kind"].default if "kind" in cls.model_fields else None


def _usual_kind(info: FieldInfo) -> str | None:
    """Return the kind that a table without `kind` has, where there is one."""
    if len(classes_of(info.annotation)) < 2:
        return None
    for each in _metadata(info.annotation, info.metadata):
        given: Any = each.func({}) if isinstance(each, BeforeValidator) else None  # type: ignore[call-arg]
        if isinstance(given, dict) and "kind" in given:  # what `usual_kind` adds
            return str(given["kind"])
    return None


def _metadata(annotation: Any, metadata: Sequence[Any]) -> Iterator[Any]:
    yield from metadata
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for inner in get_args(annotation):
            if get_origin(inner) is Annotated:
                yield from _metadata(inner, ())


# ---------------------------------------------------------------------------------------------------------- writing


def _index(experiment: type[Settings], tables: dict[str, FieldInfo], homes: dict[type[Settings], Section]) -> str:
    values = [
        _row("", name, info, f"{FOLDER}/index.md", homes)
        for name, info in experiment.model_fields.items()
        if name not in tables
    ]
    rows = []
    for name, info in tables.items():
        title = f"{name}.NAME" if get_origin(info.annotation) is dict else name
        kinds = [kind for kind in map(_kind, classes_of(info.annotation)) if kind is not None]
        rows.append((f"[`[{title}]`]({name}.md)", escape(info.description or ""), ", ".join(map(code, kinds)) or "–"))
    parts = [_INTRODUCTION, "## Values outside of tables", table(_HEAD, values)]
    return "\n\n".join([*parts, "## Tables", table(("table", "meaning", "kinds"), rows)]) + "\n"


def _other_files(files: Mapping[str, type[Settings]], homes: dict[type[Settings], Section]) -> str:
    """Return the page of files that are no experiments; what they have in common with those is linked."""
    parts = ["# Other files", "TOML files that are no experiments. `extends` and paths work as in those."]
    for title, cls in files.items():
        homes[cls] = Section(cls, "", title, OTHER, title.lower().replace(" ", "-"), 2)
        for key, inner in cls.model_fields.items():
            if classes_of(inner.annotation):
                _place(inner, f"{key}.NAME" if get_origin(inner.annotation) is dict else key, OTHER, 3, homes)
    for section in homes.values():
        if section.page == OTHER:
            parts += _description(section, homes)
    return "\n\n".join(parts) + "\n"


def _description(section: Section, homes: dict[type[Settings], Section]) -> list[str]:
    rows = [
        _row(section.anchor, name, info, section.page, homes)
        for name, info in section.cls.model_fields.items()
        if name != "kind"
    ]
    return [
        f"{'#' * section.level} {section.title} {{#{section.anchor}}}",
        *(escape(paragraph) for paragraph in paragraphs(section.cls) if not _EXAMPLE.search(paragraph)),
        table(_HEAD, rows) if rows else "No further settings.",
    ]


def _row(
    of: str, name: str, info: FieldInfo, page: str, homes: dict[type[Settings], Section]
) -> tuple[str, str, str, str]:
    classes = classes_of(info.annotation)
    if classes:
        holder = get_origin(info.annotation) in (dict, tuple)
        kind = f"{'tables' if holder else 'table'} "
        kind += " or ".join(_link(homes[cls], page) for cls in classes)
    else:
        kind = type_text(info.annotation, info.metadata)
    return f'<span id="{of or "set"}-{name}"></span>{code(name)}', kind, _default(info), _meaning(name, info)


def _meaning(name: str, info: FieldInfo) -> str:
    older = info.serialization_alias  # what is stored has the names that settings had first
    also = f" Older files say {code(older)}." if older is not None and older != name else ""
    return escape(info.description or "") + also


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "*required*"
    value = info.get_default(call_default_factory=True)
    if value is None:
        return "–"
    if isinstance(value, Settings):
        given = value.model_dump(mode="json", by_alias=False, exclude_defaults=True, exclude_none=True)
        given = {**({"kind": _kind(type(value))} if len(classes_of(info.annotation)) > 1 else {}), **given}
        return code(as_toml(given)) if given else "its defaults"
    if isinstance(value, dict) and not value:
        return "none"
    return code(as_toml(to_jsonable_python(value)))


def _link(section: Section, page: str) -> str:
    target = "" if section.page == page else posixpath.relpath(section.page, posixpath.dirname(page))
    text = f"`[{section.table}]`" if _kind(section.cls) is None else code(str(_kind(section.cls)))
    return f"[{text}]({target}#{section.anchor})"

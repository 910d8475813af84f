"""Error messages of settings files: pydantic's problems in terms of setting names, given and allowed values.

pydantic reports locations in its own terms (tags of unions among the names, "Input should be"); these functions turn
one such problem into the dotted name of the setting, what was given and what is allowed.
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from lexirec.core.errors import close_to, did_you_mean
from lexirec.core.renamed import kinds, old_names


def explain(problem: Any, cls: type[BaseModel], values: dict[str, Any]) -> tuple[str, str]:
    """Return the dotted name of the setting a pydantic problem is about, and the message for the user."""
    place = _locate(problem["loc"], cls, values)
    name, context = ".".join(place.names), problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            return name, f"there is no setting '{brief(name)}'.{_suggest(place, cls)}"
        case "missing":
            return name, f"'{name}' is missing{_describe(place.names[-1], place.owners)}"
        case "union_tag_invalid":
            tags = context["expected_tags"]
            hint = did_you_mean(context["tag"], re.findall(r"'([^']*)'", tags))
            return f"{name}.kind", f"'{name}.kind' is '{brief(context['tag'])}'; allowed: {tags}.{hint}"
        case "union_tag_not_found":
            return name, f"'{name}.kind' is missing; allowed: {_tags(place.inner)}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return name, f"'{name}' is {shown(problem['input'])}; it should be a table of settings"
        case "value_error":
            return name, f"'{name}' {context['error']}" if name else str(context["error"])
        case _:
            given = shown(problem["input"])
            return name, f"'{name}' is {given}; it should {_allowed(problem['msg'])}"


def _allowed(message: str) -> str:
    """Return what a value should be or have, in pydantic's words: "be a valid integer", "match pattern '[a-z]+'"."""
    _, should, text = message.partition(" should ")
    return text.split(", unable to")[0] if should else f"be {message[0].lower()}{message[1:]}"


@dataclass
class _Place:
    """Where a problem is.

    Attributes:
        names: Of the setting and the tables that it is in, without pydantic's union tags.
        owners: Classes that own the setting.
        inner: Classes that it may hold.
        rivals: Name of a table, another kind that it could have, and the class that would own the setting then.
    """

    names: list[str]
    owners: list[type[BaseModel]]
    inner: list[type[BaseModel]]
    rivals: list[tuple[str, str, type[BaseModel]]] = field(default_factory=list)


def _locate(location: tuple[int | str, ...], cls: type[BaseModel], values: dict[str, Any]) -> _Place:
    place = _Place([], [cls], [cls])
    rivals: list[tuple[str, str, type[BaseModel]]] = []  # of the classes in `inner`
    value: Any = values
    for key in location:
        tagged = [owner for owner in place.inner if key in kinds(owner)]
        if tagged and isinstance(value, dict) and key not in value:
            table = ".".join(place.names)
            rivals += [(table, kind, owner) for owner in place.inner if owner not in tagged for kind in kinds(owner)]
            place.inner = tagged
            continue
        place.names.append(str(key))
        place.owners, place.rivals = place.inner, rivals
        value = _inside(value, key)
        if isinstance(key, str) and any(key in owner.model_fields for owner in place.inner):  # else a key of a mapping
            known = [owner for owner in place.inner if key in owner.model_fields]
            place.inner = [below for owner in known for below in _classes(owner, key)]
            rivals = [
                (table, kind, below)
                for table, kind, owner in rivals
                if key in owner.model_fields
                for below in _classes(owner, key)
            ]
    return place


def _inside(value: Any, key: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None


def _classes(owner: type[BaseModel], name: str) -> Iterator[type[BaseModel]]:
    """Yield the settings classes a field may hold, looking through lists, optionals and unions."""
    waiting: list[Any] = [owner.model_fields[name].annotation]
    while waiting:
        annotation = waiting.pop(0)
        if typing.get_origin(annotation) is not None:
            waiting.extend(typing.get_args(annotation))
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation


def _all_names(cls: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted names of all settings, under old names, too, each with the current one."""
    for name in cls.model_fields:
        yield f"{prefix}{name}", f"{prefix}{name}"
        for inner in _classes(cls, name):
            yield from _all_names(inner, f"{prefix}{name}.")
    for old, new in old_names(cls).items():
        yield f"{prefix}{old}", f"{prefix}{new}"


def _suggest(place: _Place, cls: type[BaseModel]) -> str:
    *above, last = place.names
    prefix = "".join(f"{name}." for name in above)
    here = [*dict.fromkeys(field for owner in place.owners for field in owner.model_fields)]
    old = {old: new for owner in place.owners for old, new in old_names(owner).items()}
    having = [(table, kind) for table, kind, owner in place.rivals if last in owner.model_fields]
    if having:
        others = " or ".join(f"'{kind}'" for kind in dict.fromkeys(kind for _, kind in having))
        return f" It is a setting of {having[0][0]}.kind = {others}. Allowed here: {', '.join(here)}"
    close = close_to(last, [*here, *old])
    elsewhere = [new for name, new in _all_names(cls) if name.split(".")[-1] == last and new != prefix + last]
    if close is not None:
        return f" Did you mean '{prefix}{close if close in here else old[close]}'?"
    if elsewhere:
        return f" Did you mean '{elsewhere[0]}'?"
    return f" Allowed here: {', '.join(here)}"


def _describe(name: str, owners: list[type[BaseModel]]) -> str:
    for owner in owners:
        field = owner.model_fields.get(name)
        if field is not None and field.description:
            return f": {' '.join(field.description.split())}"
    return ""


def _tags(owners: list[type[BaseModel]]) -> str:
    return ", ".join(f"'{kind}'" for owner in owners for kind in kinds(owner))


def shown(value: Any) -> str:
    """Return a value as the user wrote it, cut to 60 characters."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer of thousands of digits
        return "a number that is too large"
    except TypeError:
        text = str(value)
    return brief(text)


def brief(text: str) -> str:
    """Return a text cut to 60 characters."""
    return text if len(text) <= 60 else f"{text[:57]}…"


def origin_of(name: str, origins: dict[str, str], source: str) -> str:
    """Return the file or override that set a setting, or else its nearest enclosing table.

    A table that was never set as a whole has the origin of the first of its settings.
    """
    inside = next((written for written in origins if written.startswith(f"{name}.")), None)
    if name not in origins and inside is not None:
        return origins[inside]
    while name:
        if name in origins:
            return origins[name]
        name = name.rpartition(".")[0]
    return source

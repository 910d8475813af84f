"""Tables of parts: what an experiment can choose between, by name, each part imported only when it is looked up.

A new part is a file of its own and one line in a table: baselines, quantisers, identifier schemes, importers, tasks and
rewards have one each (`registry.py` of their package). What a part needs, it declares itself (`PartSettings.needs`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, Union

from pydantic import ConfigDict, Field, model_validator

from lexirec.core.config import Settings, usual_kind
from lexirec.core.errors import did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Parts by name; a look-up imports the module of that part and no other."""

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        """Keep where parts are found.

        Args:
            package: The package that all modules of the table belong to.
            places: Name of a part -> `"module:Object"`, the module relative to the package.
        """
        self._package, self._places = package, dict(places)

    def __getitem__(self, name: str) -> T:
        """Import and return a part; raises KeyError for an unknown name."""
        module, _, attribute = self._places[name].partition(":")
        part: T = getattr(import_module(f"{self._package}.{module}"), attribute)
        return part

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order of the table."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        """Say whether there is such a part, without importing it."""
        return name in self._places


class PartSettings(Settings):
    """Settings of a part that is chosen by its `kind`, with what it reads besides the data."""

    needs: ClassVar[tuple[str, ...]] = ()
    """What every part of this kind reads, such as `("vectors",)`; `needed` is asked, which may add what a setting asks
    for."""
    kind: str = ""
    """Which part it is; each class sets it to the literal that its table has."""

    def needed(self) -> tuple[str, ...]:
        """Return what this part reads: `needs`, unless a setting decides."""
        return self.needs

    def files(self) -> dict[str, Path]:
        """Return the files from outside by the names its stage knows them by; their content enters the stage's key."""
        return {}


class WeightSettings(Settings):
    """Weights of the parts of a table, by name; a part without a field of its own weighs 0 unless it is given."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float] = Field(init=False)
    parts: ClassVar[Mapping[str, Any]]
    """The table."""

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        allowed = [*type(self).model_fields, *(name for name in self.parts if name not in type(self).model_fields)]
        for name in self.__pydantic_extra__:
            if name not in self.parts:
                hint = did_you_mean(name, allowed) or f" Allowed: {', '.join(allowed)}"
                raise ValueError(f"has no setting '{name}'.{hint}")
        return self

    def weights(self) -> dict[str, float]:
        """Return the weight of every part of the table; 0 leaves a part out."""
        return {name: getattr(self, name, 0.0) for name in self.parts}


def choice_of(classes: Iterable[type[Settings]], usual: str | None = None) -> Any:
    """Return the type of a setting that is one of several settings classes, told apart by `kind`.

    Args:
        classes: The settings classes.
        usual: The kind of a table that does not say its kind.
    """
    marks = [Field(discriminator="kind"), *([usual_kind(usual)] if usual else [])]
    return Annotated[Union[tuple(classes)], *marks]  # noqa: UP007


def parameters(function: Callable[..., Any]) -> dict[str, bool]:
    """Return the named parameters of a function, and whether each must be given."""
    found = inspect.signature(function).parameters.values()
    return {
        each.name: each.default is each.empty
        for each in found
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }

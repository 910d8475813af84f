"""Run the stages of an experiment: each is made once, taken from the store afterwards, or only planned.

`pipeline.graph` calls `StageRunner.step` once per stage, in order, with the stage's name, its inputs and the function
that makes it. A runner that does not act records what it would do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lexirec.core.config import Settings
from lexirec.core.manifest import Recipe
from lexirec.core.runs import Stage, State
from lexirec.core.store import PROGRESS, Store

Make = Callable[[Any, Mapping[str, Path], Path], None]
_log = logging.getLogger(__name__)


class StopRequested(Exception):  # noqa: N818
    """The stage at which the line was to stop is done."""


@contextmanager
def logged(step: Stage) -> Iterator[None]:
    """Say in the log how a step is going."""
    if step.state == "done":
        _log.info("%s: taken from the store", step.name)
        yield
        return
    _log.info("%s: %s", step.name, "carried on" if step.state == "unfinished" else "started")
    started = time.monotonic()
    yield
    _log.info("%s: done in %.1f s", step.name, time.monotonic() - started)


@dataclass
class StageRunner:
    """Steps in order, made or only planned.

    Attributes:
        store: Where artifacts are kept.
        versions: Version of each stage's code.
        until: Stage after which to stop, or None.
        act: Make what is not there; without it only say.
        before: Step name -> key of the newest finished run, which tells stale from new.
        stages: The stages so far.
        recipes: What their artifacts are made from, by key.
        shown: What surrounds the making of a step, to tell people about it.
        within: What steps are called after, and the one that bears the name itself; None on the line itself.
    """

    store: Store
    versions: Mapping[str, int]
    until: str | None = None
    act: bool = True
    before: Mapping[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    shown: Callable[[Stage], AbstractContextManager[None]] = logged
    within: tuple[str, str] | None = None

    def inside(self, name: str, last: str) -> Self:
        """Return the same line for the steps of another experiment.

        Its steps are called `name.step`, and the one called `last` has the name alone; what the line has already is
        not taken a second time.
        """
        return replace(self, within=(name, last))

    def stage(
        self,
        name: str,
        make: Make,
        settings: Settings | Mapping[str, Any],
        inputs: Mapping[str, Stage | None],
        raw: Mapping[str, Path] | None = None,
        *,
        kind: str | None = None,
    ) -> Stage:
        """Add a stage, making its artifact when it is not in the store.

        Args:
            name: The stage, or `stage.variant` where an experiment has several.
            make: Writes the artifact: called with the settings, the folders of the inputs by name, and the folder to
                write in.
            settings: What the artifact depends on besides its inputs.
            inputs: Earlier steps by the name `make` knows them by; None is left out.
            raw: Files from outside by name; they enter the key through their content, not their place.
            kind: Which stage of the pipeline it is, where that is not the first part of the name.
        """
        kind = kind or name.partition(".")[0]
        name, last = self._called(name)
        group = name.partition(".")[0]
        if self.until is not None and group != self.until and any(done.group == self.until for done in self.stages):
            raise StopRequested
        given = {key: step for key, step in inputs.items() if step is not None}
        recipe = self._recipe(kind, settings, given, raw or {})
        if self.within is not None and not last and recipe.key in self.recipes:
            return next(step for step in self.stages if step.key == recipe.key)
        state = self._state(name, recipe)
        step = Stage(name, kind, recipe.key, self.store.path(kind, recipe.key), state)
        if self.act:
            folders = {key: earlier.folder for key, earlier in given.items()}
            with self.shown(step):
                self.store.ensure(recipe, lambda out: make(settings, {**folders, **(raw or {})}, out))
        self.stages.append(step)
        self.recipes[recipe.key] = recipe
        return step

    def _called(self, name: str) -> tuple[str, bool]:
        """Return what a step is called on this line, and whether it bears the name of all that lead to it."""
        if self.within is None:
            return name, False
        whole, last = self.within
        return (whole, True) if name == last else (f"{whole}.{name}", False)

    def _recipe(
        self, stage: str, settings: Settings | Mapping[str, Any], given: Mapping[str, Stage], raw: Mapping[str, Path]
    ) -> Recipe:
        outside = set(getattr(type(settings), "outside_the_key", ()))
        plain = settings.model_dump(mode="json", exclude=outside) if isinstance(settings, Settings) else dict(settings)
        keys = {key: step.key for key, step in given.items()}
        digests = {key: self.store.digest(path) for key, path in raw.items()}
        return Recipe(stage, self.versions[stage], plain, {**keys, **digests}, plain.get("seed"))

    def _state(self, name: str, recipe: Recipe) -> State:
        if self.store.complete(recipe.stage, recipe.key):
            return "done"
        if any((self.store.partial(recipe.stage, recipe.key) / PROGRESS).glob("*")):
            return "unfinished"
        return "stale" if name in self.before else "new"


# ------------------------------------------------------------------------------------------------- records of runs

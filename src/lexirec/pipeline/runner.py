"""Execute or plan the stages of an experiment; artifacts that the store holds are reused.

`pipeline.graph` calls `StageRunner.stage` once per stage, in order, with its name, its inputs and the function that
writes its artifact. With `act=False` a runner only records the stages.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, DataError, LexirecError
from lexirec.core.manifest import Recipe
from lexirec.core.runs import Stage, State
from lexirec.core.store import PROGRESS, Store
from lexirec.pipeline.visible import visible

Make = Callable[[Any, Mapping[str, Path], Path], None]
_log = logging.getLogger(__name__)


class StopRequested(Exception):  # noqa: N818
    """The stage named by `until` is done."""


@contextmanager
def logged(stage: Stage) -> Iterator[None]:
    """Log start and end of a stage."""
    if stage.state == "done":
        _log.info("%s: reused from the store", stage.name)
        yield
        return
    _log.info("%s: %s", stage.name, "resumed" if stage.state == "unfinished" else "started")
    started = time.monotonic()
    yield
    _log.info("%s: done in %.1f s", stage.name, time.monotonic() - started)


@dataclass(frozen=True)
class Call:
    """How a stage is made.

    Attributes:
        stage: The stage.
        make: The function that makes it.
        settings: Its settings.
        inputs: Its inputs by name.
        raw: External files by name.
    """

    stage: Stage
    make: Make
    settings: Settings | Mapping[str, Any]
    inputs: Mapping[str, Stage]
    raw: Mapping[str, Path]

    def __call__(self, out: Path, data: Path | None = None) -> None:
        """Make the stage in a folder, with `data` in place of every data stage among its inputs.

        It gets the parts of a data stage that its kind may read (`pipeline.visible`).
        """
        moved = {
            name: replace(each, folder=data) if data is not None and each.kind == "data" else each
            for name, each in self.inputs.items()
        }
        self.make(self.settings, {**visible(self.stage.kind, moved), **self.raw}, out)


@dataclass
class StageRunner:
    """Adds stages in order and executes those that the store lacks.

    Attributes:
        store: Where artifacts are kept.
        versions: Code version of each stage.
        until: Stage after which to stop, or None.
        act: Execute missing stages; False only plans them.
        before: Stage name -> key in the newest finished run, which distinguishes stale stages from new ones.
        stages: The stages so far.
        recipes: Recipes of their artifacts, by key.
        calls: How each of them is made, by key.
        display: Context manager around the execution of a stage, for logs and progress.
        within: Prefix of stage names, and the stage that has the prefix alone as its name; None for no prefix.
        read: Digests of the files from outside so far; several stages may read one file.
        after: Called with the stages so far after each stage that was executed or reused.
        left_out: Baselines and ensembles that could not be made -> why; None where that stops the run.
    """

    store: Store
    versions: Mapping[str, int]
    until: str | None = None
    act: bool = True
    before: Mapping[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    display: Callable[[Stage], AbstractContextManager[None]] = logged
    within: tuple[str, str] | None = None
    read: dict[Path, str] = field(default_factory=dict)
    after: Callable[[Sequence[Stage]], None] | None = None
    left_out: dict[str, str] | None = None

    def inside(self, name: str, last: str) -> Self:
        """Return a runner for another experiment's stages, sharing the list of stages.

        Its stages are named `name.stage`, and the one called `last` has the name alone; a stage whose key is there
        already is not added a second time.
        """
        return replace(self, within=(name, last), left_out=None)

    def attempt(self, name: str, add: Callable[[], Stage]) -> Stage | None:
        """Add a recommender that a run can do without; where it cannot be made, leave it out and return None.

        Data and settings that do not suit it, and failures of its arithmetic, leave it out. Damaged artifacts and
        errors in the program stop the run, as do all errors where `left_out` is None.
        """
        try:
            return add()
        except (LexirecError, np.linalg.LinAlgError, FloatingPointError) as error:
            if self.left_out is None or isinstance(error, ArtifactError):
                raise
            self.leave_out(name, " ".join(str(error).split()))
            return None

    def leave_out(self, name: str, why: str) -> None:
        """Note and log that a recommender is left out; an error where nothing may be left out.

        Raises:
            DataError: nothing may be left out of this run.
        """
        if self.left_out is None:
            raise DataError(f"{name}: {why}")
        self.left_out[name] = why
        _log.warning("%s is left out: %s", name, why)

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
        """Add a stage, and execute it if the store lacks its artifact.

        Args:
            name: The stage, or `stage.variant` where an experiment has several.
            make: Writes the artifact: called with the settings, the folders of the inputs by name, and the folder to
                write in.
            settings: Settings of the stage; they enter its key.
            inputs: Earlier stages by the names under which `make` finds their folders; None is left out. Of a data
                stage it gets the parts that its kind may read (`pipeline.visible`).
            raw: External files by name; they enter the key by content, not by path.
            kind: Kind of stage, where that is not the first part of the name.
        """
        kind = kind or name.partition(".")[0]
        name, last = self._called(name)
        group = name.partition(".")[0]
        if self.until is not None and group != self.until and any(done.group == self.until for done in self.stages):
            raise StopRequested
        present = {key: earlier for key, earlier in inputs.items() if earlier is not None}
        recipe = self._recipe(kind, settings, present, raw or {})
        if self.within is not None and not last and recipe.key in self.recipes:
            return next(earlier for earlier in self.stages if earlier.key == recipe.key)
        state = self._state(name, recipe)
        stage = Stage(name, kind, recipe.key, self.store.path(kind, recipe.key), state)
        self.calls[recipe.key] = Call(stage, make, settings, present, raw or {})
        if self.act:
            with self.display(stage):
                self.store.ensure(recipe, self.calls[recipe.key], raw)
        self.stages.append(stage)
        self.recipes[recipe.key] = recipe
        if self.act and self.after is not None:
            self.after(self.stages)
        return stage

    def _called(self, name: str) -> tuple[str, bool]:
        """Return the prefixed name of a stage, and whether it is the prefix alone."""
        if self.within is None:
            return name, False
        prefix, last = self.within
        return (prefix, True) if name == last else (f"{prefix}.{name}", False)

    def _recipe(
        self, stage: str, settings: Settings | Mapping[str, Any], inputs: Mapping[str, Stage], raw: Mapping[str, Path]
    ) -> Recipe:
        outside = set(getattr(type(settings), "outside_the_key", ()))
        plain = settings.model_dump(mode="json", exclude=outside) if isinstance(settings, Settings) else dict(settings)
        keys = {key: earlier.key for key, earlier in inputs.items()}
        digests = {key: self._digest(path) for key, path in raw.items()}
        return Recipe(stage, self.versions[stage], plain, {**keys, **digests}, plain.get("seed"))

    def _digest(self, path: Path) -> str:
        """Return a file's digest; all stages of a run must read the same content."""
        digest = self.store.digest(path)
        if self.read.setdefault(path, digest) != digest:
            raise ArtifactError(f"{path} changed between two stages of this run; run the same command again")
        return digest

    def _state(self, name: str, recipe: Recipe) -> State:
        if self.store.complete(recipe.stage, recipe.key):
            return "done"
        if any((self.store.partial(recipe.stage, recipe.key) / PROGRESS).glob("*")):
            return "unfinished"
        return "stale" if name in self.before else "new"

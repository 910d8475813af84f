"""Where models come from: experiments of a store, or folders of saved recommenders, both below one folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.runs import RUNS, RunRecord, Stage, find_run, recommenders, run_names, runs
from lexirec.core.store import Store
from lexirec.models.loading import chosen, folder_named
from lexirec.models.saving import MANIFEST
from lexirec.serving.problems import ProblemError

_EXPERIMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(:(?P<part>[^:@/]+))?(@(?P<key>[0-9a-f]{4,64}))?")
_LISTED = 20


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        store: Of the experiment.
        name: Of the experiment, or the folder.
        part: Name of the experiment's recommender; None for the one that it serves by default.
        key: First digits of the recommender's artifact; None for that of the newest finished run.
        folder: Of a saved recommender; None for an experiment.
    """

    store: Store
    name: str
    part: str | None = None
    key: str | None = None
    folder: Path | None = None

    def stage(self) -> tuple[RunRecord, str, Stage]:
        """Return the experiment's run, and the name and artifact of its recommender.

        Raises:
            ArtifactError: there is no such experiment, recommender or version.
        """
        if self.key is None:
            run = find_run(self.store, self.name)
            part = chosen(run, self.part)
            return run, part, recommenders(run)[part]
        for run in runs(self.store, self.name):
            if self.part is None or self.part in recommenders(run):
                part = chosen(run, self.part)
                stage = recommenders(run)[part]
                if stage.key.startswith(self.key):
                    return run, part, stage
        raise ArtifactError(f"{self.name} has no finished run whose recommender is version {self.key}")

    def exact(self, key: str) -> Self:
        """Return the source of this very version."""
        return type(self)(self.store, self.name, self.part, key, self.folder)

    def details(self) -> dict[str, Any]:
        """Return what finds the source again, as JSON values."""
        return {"name": self.name, "part": self.part, "key": self.key}


class SourceFinder:
    """Finds models by the names that requests and settings give, below one folder only.

    Attributes:
        store: Of the service.
        root: The folder.
    """

    def __init__(self, store: Store, root: Path | None = None) -> None:
        """Find models below a folder; by default those of a store."""
        self.store = store
        self.root = store.root if root is None else root

    def given(self, name: str, part: str | None) -> Source:
        """Return the source that a command line names: an experiment, any folder, or a name of the hub."""
        folder = folder_named(name)
        if folder is not None:
            return Source(self.store, name, folder=folder)
        return Source(self.store, name, part)

    def again(self, details: dict[str, Any], folder: str) -> Source:
        """Return the source that `Source.details` told of, in the store of the service or below the folder.

        Raises:
            ArtifactError: it is there no more.
        """
        if folder:
            return Source(self.store, details["name"], folder=Path(folder))
        missing: ArtifactError | None = None
        for store in (self.store, Store(self.root)):
            source = Source(store, details["name"], details["part"], details["key"])
            try:
                source.stage()
            except ArtifactError as error:
                missing = error
                continue
            return source
        assert missing is not None, "there is a store"
        raise missing

    def find(self, name: str) -> Source:
        """Return the source that a request names: `EXPERIMENT`, `EXPERIMENT:RECOMMENDER`, either with `@VERSION`, or a
        folder below the root.

        Raises:
            ProblemError: the name leads out of the root, or there is nothing of this name.
        """
        self._check_inside(name)
        if (self.root / name / MANIFEST).is_file():
            return Source(Store(self.root), name, folder=self.root / name)
        match = _EXPERIMENT.fullmatch(name)
        store = Store(self.root)
        if match is None or match["name"] not in run_names(store):
            raise self._nothing(name, store)
        source = Source(store, match["name"], match["part"], match["key"])
        try:
            source.stage()
        except ArtifactError as error:
            raise ProblemError("not-found", str(error)) from None
        return source

    def _check_inside(self, name: str) -> None:
        """Refuse what leads out of the root: absolute paths, `..`, and symbolic links."""
        given = Path(name)
        places = [
            self.root / name,
            self.root / name / MANIFEST,
            self.root / RUNS / name.partition(":")[0].partition("@")[0],
        ]
        root = self.root.resolve()
        try:
            inside = not given.is_absolute() and ".." not in given.parts
            inside = inside and all(place.resolve().is_relative_to(root) for place in places)
            places[1].is_file()
        except (OSError, ValueError, RuntimeError):  # a loop of links, or a name that no file can have
            inside = False
        if not inside:
            detail = f"'{name[:100]}' leads out of models.root, or is no path; name an experiment, or a folder below it"
            raise ProblemError("invalid-request", detail, [("/name", detail)])

    def _nothing(self, name: str, store: Store) -> ProblemError:
        names = run_names(store)
        listed = ", ".join(names[:_LISTED]) or "none"
        return ProblemError(
            "not-found",
            f"there is no finished experiment and no saved recommender '{name[:100]}' below models.root; experiments "
            f"are {listed}.{did_you_mean(name, names)}",
        )

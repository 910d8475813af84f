"""The snapshots that answer: one per loaded model, one of them active; a change replaces a reference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from lexirec.core.errors import did_you_mean
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.problems import ProblemError


class Snapshots:
    """Snapshots by the name of their model. Reading takes no lock; changes do."""

    def __init__(self, active: Snapshot) -> None:
        """Begin with one snapshot, the active one."""
        self._lock = threading.Lock()
        self._by_name: Mapping[str, Snapshot] = {active.model.name: active}
        self._active = active

    @property
    def active(self) -> Snapshot:
        """The snapshot that answers requests which name no model."""
        return self._active

    @property
    def all(self) -> tuple[Snapshot, ...]:
        """All snapshots, the active one first."""
        active = self._active
        return (active, *(each for name, each in self._by_name.items() if name != active.model.name))

    def pick(self, name: str | None, catalog_version: int | None) -> Snapshot:
        """Return the snapshot that a request asks for.

        Raises:
            ProblemError: there is no such model, or the catalogue has another version.
        """
        snapshot = self._active if name is None else self._by_name.get(name)
        if snapshot is None:
            loaded = list(self._by_name)
            named = ", ".join(f"'{each}'" for each in loaded)
            raise ProblemError(
                "not-found", f"there is no model '{name}'; loaded are {named}.{did_you_mean(name or '', loaded)}"
            )
        if catalog_version not in (None, snapshot.catalog_version):
            raise ProblemError(
                "conflict",
                f"catalog_version is {catalog_version}, but version {snapshot.catalog_version} answers; "
                "leave it out, or ask again later",
            )
        return snapshot

    def put(self, snapshot: Snapshot, *, activate: bool = False) -> None:
        """Add a snapshot, or replace that of the same model; `activate` lets it answer by default."""
        with self._lock:
            self._by_name = {**self._by_name, snapshot.model.name: snapshot}
            if activate or self._active.model.name == snapshot.model.name:
                self._active = snapshot

    def change(self, of: Callable[[Snapshot], Snapshot]) -> None:
        """Replace every snapshot by what a function makes of it, all at once."""
        with self._lock:
            self._by_name = {name: of(each) for name, each in self._by_name.items()}
            self._active = self._by_name[self._active.model.name]

"""Which model answers after a start: the one that was active before, unless the command line names another."""

from __future__ import annotations

import logging
from typing import Any, Literal

from lexirec.core.errors import LexirecError
from lexirec.serving.answering.loading import Loaded, load_model
from lexirec.serving.answering.sources import Source, SourceFinder
from lexirec.serving.catalog_versions.carrying import Shown, carry_facts, furnish
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.database.models import ModelStore, ServedModel

_log = logging.getLogger(__name__)
_SECONDS = 30.0
"""How long a change of the active model waits for the database."""


class ServedModels:
    """The active model and the one before it, as the database remembers them.

    Attributes:
        finder: Of models by name.
    """

    def __init__(self, store: ModelStore, finder: SourceFinder, name: str, part: str | None) -> None:
        """Remember models of a service that was started with an experiment or folder, and one of its recommenders."""
        self._store, self.finder, self._name, self._part = store, finder, name, part

    def first(self, start: Literal["active", "newest"] = "active") -> Loaded:
        """Load the model that answers first, with the state of the shop.

        That is the active model of before, if the service was started with the same name then and `start` says so, else
        what the command line names.

        Raises:
            LexirecError: what the command line names cannot be loaded.
        """
        before = self._store.get("active")
        if before is None:
            return load_model(self.finder.given(self._name, self._part))
        if start == "active" and before.details.get("started") == self._started:
            try:
                loaded = load_model(self.finder.again(dict(before.details), before.folder))
                loaded.begin()  # damaged files are found here
            except LexirecError as error:
                _log.warning("%s, which was active, cannot be loaded: %s", before.name, error)
            else:
                self._mention_newer(loaded)
                return loaded
        loaded = load_model(self.finder.given(self._name, self._part))
        if loaded.model.reference != before.name:
            _log.info("%s answers; %s was active before", loaded.model.reference, before.name)
            self._carry(before, loaded)
        return loaded

    def previous(self, active: Loaded) -> Source | None:
        """Return where the model before the active one comes from; None where there is none, or it is gone."""
        found = self._store.get("previous")
        if found is None or found.name == active.model.reference:
            return None
        try:
            return self.finder.again(dict(found.details), found.folder)
        except LexirecError as error:
            _log.info("the service cannot go back to %s: %s", found.name, error)
            return None

    def remember(self, active: Loaded, previous: Loaded | None) -> None:
        """Write down the active model and the one before it; returns once that is on the disk.

        Raises:
            DatabaseError: it cannot be written.
        """
        now, kept = self._served(active), self._served(previous) if previous is not None else self._kept(active)
        if (now, kept) != (self._store.get("active"), self._store.get("previous")):
            self._store.serve(now, kept).result(_SECONDS)

    @property
    def _started(self) -> list[str | None]:
        return [self._name, self._part]

    def _served(self, loaded: Loaded) -> ServedModel:
        source = loaded.source
        folder = str(source.folder.resolve()) if source is not None and source.folder is not None else ""
        details: dict[str, Any] = {"started": self._started} | (source.details() if source is not None else {})
        return ServedModel(loaded.model.reference, loaded.model.version, folder, details)

    def _kept(self, active: Loaded) -> ServedModel | None:
        """Return the model to go back to: that of before, or, where another one was active then, that one."""
        before = self._store.get("active")
        if before is None or before.name == active.model.reference:
            return self._store.get("previous")
        return before

    def _mention_newer(self, loaded: Loaded) -> None:
        """Say that a newer run has finished, which does not answer by itself."""
        given = self.finder.given(self._name, self._part)
        if given.folder is not None or loaded.source is None or loaded.source.name != given.name:
            return
        key = given.stage()[2].key
        if loaded.source.key != key:
            newer = given.exact(key[: len(loaded.model.version)])
            _log.info(
                "%s answers, as before; a newer run of it is finished (%s): load and activate it, or set models.start",
                loaded.model.reference,
                newer.key,
            )

    def _carry(self, before: ServedModel, to: Loaded) -> None:
        """Carry the state of the shop from the model that was active when the service ended."""
        try:
            source = self.finder.again(dict(before.details), before.folder)
            if source.folder is not None:
                return
            run, part, stage = source.stage()
            living = LivingCatalog(source.store, run.name, part, stage)
            place = to.place()
            if not living.folder.is_dir() or place is None:
                return
            carry_facts(Shown.of(living), place)
            if to.living is not None:
                furnish(living, to.living.catalog)
        except LexirecError as error:
            _log.warning("facts of %s are not carried on: %s", before.name, error)

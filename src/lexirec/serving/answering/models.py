"""The models of a service: load one beside the others, let it answer, go back; the shop's facts hold for all of them.

At most four are in memory: the active one, the one before it, the candidate of the traffic, and the last one that was
loaded. Others are dropped, so that a service that gets a new model every night does not grow.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lexirec.core.errors import LexirecError
from lexirec.models.facts_file import FactsFile
from lexirec.serving.answering.living import LivingSnapshots, Warm, prepare
from lexirec.serving.answering.loading import Loaded, load_model
from lexirec.serving.answering.shared_lock import SharedLock
from lexirec.serving.answering.snapshot import ModelIdentity
from lexirec.serving.answering.snapshots import Snapshots
from lexirec.serving.answering.sources import Source
from lexirec.serving.catalog_versions.carrying import (
    Carried,
    Carrier,
    Shown,
    carry_facts,
    carry_published,
    carry_waiting,
    furnish,
)
from lexirec.serving.problems import ProblemError

_log = logging.getLogger(__name__)
Remember = Callable[[Loaded, Loaded | None], None]
"""Writes down which model is active and which one was before; returns once that is on the disk."""
Forget = Callable[[ModelIdentity], None]


class Models:
    """The loaded models, one of them active."""

    def __init__(
        self,
        first: Loaded,
        snapshots: Snapshots,
        warm: Warm,
        *,
        remember: Remember = lambda active, previous: None,
        forget: Forget = lambda model: None,
    ) -> None:
        """Begin with one model, whose snapshot answers already.

        Args:
            first: the active model.
            snapshots: that answer.
            warm: lets a snapshot answer once before its first user.
            remember: writes down what is active.
            forget: hears of models that are dropped.
        """
        self._snapshots, self._warm, self._remember, self._forget = snapshots, warm, remember, forget
        self._loaded: dict[ModelIdentity, Loaded] = {first.model: first}
        self._previous: ModelIdentity | None = None
        self._lock = threading.RLock()  # of the models
        self._writing = SharedLock()  # many threads change the shop's state; a swap has it alone, and misses no change
        self._carriers: dict[tuple[ModelIdentity, ModelIdentity], Carrier] = {}

    def start(self) -> None:
        """Let the catalogue of the first model change what answers, and write down that it is active."""
        first = self.active
        if first.living is not None:
            first.living.attach(self._snapshots, self._warm)
        try:
            self._remember(first, None)
        except LexirecError as error:  # on a full disk, reading goes on
            _log.warning("the database does not know that %s is active: %s", first.model.reference, error)

    # ---------------------------------------------------------------------------------------------------- looking

    @property
    def active(self) -> Loaded:
        """The model that answers."""
        return self._loaded[self._snapshots.active.model]

    @property
    def previous(self) -> Loaded | None:
        """The model that answered before; None where there was none, or it is not loaded."""
        return self._loaded.get(self._previous) if self._previous is not None else None

    @property
    def living(self) -> LivingSnapshots | None:
        """The catalogue of the active model; None where it cannot change."""
        return self.active.living

    def get(self, model: ModelIdentity) -> Loaded | None:
        """Return a loaded model, or None."""
        return self._loaded.get(model)

    # ---------------------------------------------------------------------------------------------------- changing

    @contextmanager
    def changing(self) -> Iterator[LivingSnapshots | None]:
        """Change the shop's state in the block; it holds for all models afterwards. No model is swapped meanwhile."""
        with self._writing.shared():
            living = self.living
            yield living
            if living is not None:
                living.refresh_facts()
                self._share()

    def refresh(self) -> bool:
        """Let what other processes changed answer; return whether anything had changed."""
        changed = False
        for each in list(self._loaded.values()):
            if each.living is not None:  # no lock is held: a new version is loaded here
                changed = each.living.refresh() or changed
        self._share()
        return changed

    def load(self, source: Source, *, candidate: bool = False) -> dict[str, Any]:
        """Load a model, carry the shop's state to it, warm it up, and keep it beside the others; return what was done.

        Args:
            source: of the model.
            candidate: whether it gets the traffic of the candidate.

        Raises:
            LexirecError: the model cannot be loaded; nothing has changed then.
        """
        loaded = load_model(source)
        new = loaded.model not in self._loaded
        carried = Carried()
        if new:
            carried = self._furnish(loaded)
            snapshot = loaded.begin()
            prepare(snapshot.recommender)
            self._warm(snapshot)
        with self._lock:
            if new:
                self._add(loaded)
            if candidate:
                self._snapshots.split.candidate = loaded.model
            self._drop(keep=loaded.model)
            present = self._snapshots.get(loaded.model)
        assert present is not None, "it was added"
        return {
            "model": loaded.model.reference,
            "was_loaded": not new,
            "items": len(present.catalog),
            "catalog_version": present.catalog_version,
            "carried": {"added": carried.added, "reworded": carried.reworded, "removed": carried.removed},
            "problem": carried.problem,
        }

    def activate(self, name: str) -> Loaded:
        """Let a loaded model answer; return it.

        Raises:
            ProblemError: it is not loaded, or the name is that of several.
        """
        with self._writing.alone(), self._lock:
            named = [model for model in self._loaded if name in (model.name, model.reference)]
            if len(named) > 1:
                listed = ", ".join(model.reference for model in named)
                raise ProblemError("conflict", f"'{name}' is the name of {len(named)} models: {listed}; name one")
            model = named[0] if named else self._snapshots.find(name).model
            if model != self.active.model:
                self._switch(self._loaded[model])
            return self.active

    def roll_back(self) -> Loaded:
        """Let the model answer that did before; return it.

        Raises:
            ProblemError: there was none, or it is not loaded.
        """
        with self._writing.alone(), self._lock:
            previous = self.previous
            if previous is None:
                raise ProblemError("conflict", "there is no model to go back to: no other one was active before")
            self._switch(previous)
            return self.active

    def restore(self, source: Source) -> dict[str, Any]:
        """Load the model that was active before the one that is, so that the service can go back to it."""
        done = self.load(source)
        with self._lock:
            if self._previous is None:
                self._previous = next((model for model in self._loaded if model.reference == done["model"]), None)
        return done

    # ------------------------------------------------------------------------------------------------------ inside

    def _switch(self, to: Loaded) -> None:
        """Let a loaded model answer, with the shop's present state; nothing has changed where this fails."""
        old = self.active
        self._carry(to)
        self._refresh(to)
        self._remember(to, old)
        snapshot = self._snapshots.get(to.model)
        assert snapshot is not None, "the model is loaded"
        self._snapshots.put(snapshot, activate=True)
        self._previous = old.model
        self._drop(keep=to.model)
        _log.info("%s answers instead of %s", to.model.reference, old.model.reference)

    def _add(self, loaded: Loaded) -> None:
        self._carry_facts(loaded)  # what was changed while it was loaded
        self._loaded[loaded.model] = loaded
        if loaded.living is not None:
            loaded.living.attach(self._snapshots, self._warm)
        self._snapshots.put(loaded.begin())

    def _drop(self, keep: ModelIdentity) -> None:
        """Drop all models but the active one, the one before, the candidate, and another one."""
        kept = {keep, self.active.model, self._previous, self._snapshots.split.candidate}
        dropped = [model for model in self._loaded if model not in kept]
        for model in dropped:
            loaded = self._loaded.pop(model)
            if loaded.living is not None:
                loaded.living.detach()
            self._snapshots.drop(model)
            self._carriers = {pair: carrier for pair, carrier in self._carriers.items() if model not in pair}
            self._forget(model)
            _log.info("%s is no longer loaded", model.reference)
        if dropped:
            gc.unfreeze()  # what was loaded at the start stands apart from collections
            gc.collect()  # models are large, and some of their parts refer to each other

    def _refresh(self, loaded: Loaded) -> None:
        """Let the present state of a model that is loaded answer."""
        if loaded.living is not None:
            loaded.living.refresh()
        else:
            self._snapshots.put(loaded.begin())

    def _share(self) -> None:
        """Carry what has changed in the active model's catalogue to all others."""
        if len(self._loaded) == 1:
            return
        with self._lock:
            active = self.active
            for each in list(self._loaded.values()):
                if each is active or active.living is None:
                    continue
                try:
                    if self._carrier(active.living, each).carry():
                        self._refresh_facts(each)
                except (LexirecError, OSError) as error:
                    _log.error("facts are carried to %s when it is activated, not yet: %s", each.model.name, error)

    def _carrier(self, source: LivingSnapshots, to: Loaded) -> Carrier:
        pair = self.active.model, to.model
        if pair not in self._carriers:
            self._carriers[pair] = Carrier(source.catalog, to.place)
        return self._carriers[pair]

    def _refresh_facts(self, loaded: Loaded) -> None:
        if loaded.living is not None:
            loaded.living.refresh_facts()
        else:
            self._snapshots.put(loaded.begin())

    def _carry_facts(self, to: Loaded) -> None:
        """Carry all facts of the active model's catalogue to another one."""
        active, place = self.active, to.place()
        if place is None or active.model == to.model:
            return
        if active.living is not None:
            carry_facts(Shown.of(active.living.catalog), place)
        elif active.state is not None:
            carry_facts(Shown(FactsFile(active.state), self._snapshots.active.numbers), place)

    def _carry(self, to: Loaded) -> None:
        """Carry facts, and stage what was published, or staged, since the training of the active model."""
        self._carry_facts(to)
        if self.living is not None and to.living is not None:
            carry_published(self.living.catalog, to.living.catalog)
            carry_waiting(self.living.catalog, to.living.catalog)

    def _furnish(self, new: Loaded) -> Carried:
        """Carry facts to a new model, publish there what is published in the active one's catalogue, stage the rest.

        No lock is held: publishing takes seconds. What changes meanwhile is carried when the model is activated.
        """
        with self._lock:
            self._carry_facts(new)
            source = self.living
        if source is None or new.living is None:
            return Carried()
        return furnish(source.catalog, new.living.catalog)

"""Changes of the model that answers, as routes and the start of the service make them: loaded, counted, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexirec.core.errors import LexirecError, SettingsError
from lexirec.serving.answering.sources import Source

if TYPE_CHECKING:
    from lexirec.serving.answering.loading import Loaded
    from lexirec.serving.http.service import Service


def load_others(service: Service) -> None:
    """Load the candidate of the traffic, then, beside requests, the model to which the service can go back.

    Raises:
        SettingsError: the candidate cannot be loaded.
    """
    name = service.settings.traffic.candidate
    if name is not None:
        if service.served is None:
            raise SettingsError("traffic.candidate: this service cannot load models")
        try:
            service.models.load(service.served.finder.find(name), candidate=True)
        except LexirecError as error:
            raise SettingsError(f"traffic.candidate is '{name}', which cannot be loaded: {error}") from None
    previous = service.served.previous(service.models.active) if service.served is not None else None
    if previous is not None:
        service.jobs.start("load", lambda: service.models.restore(previous))


def load(service: Service, source: Source, *, activate_it: bool) -> dict[str, Any]:
    """Load a model, let it answer if that is wanted, and return what the job says."""
    candidate = service.settings.traffic.candidate in (source.name, f"{source.name}:{source.part}")
    try:
        done = service.models.load(source, candidate=candidate)
        if activate_it:
            activate(service, done["model"])
    except Exception:
        service.metrics.swaps.labels("model", "failed").inc()
        raise
    return done | {"active": activate_it}


def activate(service: Service, name: str) -> Loaded:
    """Let a loaded model answer."""
    loaded = service.models.activate(name)
    service.metrics.swaps.labels("model", "done").inc()
    return loaded


def roll_back(service: Service) -> Loaded:
    """Let the model answer that did before."""
    loaded = service.models.roll_back()
    service.metrics.swaps.labels("model", "back").inc()
    return loaded

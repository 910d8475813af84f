"""Answers about the service itself: health, information, models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lexirec.serving.schemas.common import Answer


class PartHealth(Answer):
    """One part of the service."""

    ok: bool
    detail: str | None = None
    """What is wrong."""


class HealthAnswer(Answer):
    """Whether the service lives or is ready, part by part."""

    status: Literal["ok", "degraded", "failing"]
    parts: dict[str, PartHealth]
    degraded: tuple[str, ...] = ()
    """What does not work although requests are answered, such as `writes`."""


class ModelAnswer(Answer):
    """A loaded model."""

    name: str
    version: str
    reference: str
    """`NAME@VERSION`, which names this model and no other."""
    active: bool
    previous: bool = False
    """Whether it answered before the active one; the service can go back to it."""
    candidate: bool = False
    """Whether a share of the traffic is its."""
    items: int
    catalog_version: int
    protocol: dict[str, Any]
    """How lists are made: kind, search, settings."""
    finished: str | None = None
    """When its run ended; null for a saved recommender."""
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    """What its run measured, by the treatment of seen items."""


class ModelsAnswer(Answer):
    """All loaded models."""

    items: tuple[ModelAnswer, ...]
    next_cursor: None = None


class CatalogAnswer(Answer):
    """The catalogue that answers."""

    version: int
    items: int
    available: int
    """Items that may be recommended."""
    newer_than_model: int
    facts_revision: int
    staged: int = 0
    """Changes that wait for the next version."""
    lag_seconds: float = 0.0
    """Seconds that the changes have waited so far, as far as this process knows."""
    last_problem: str | None = None
    """Why the last publish failed; null after one that did not."""
    next_publish_seconds: float | None = None
    """Seconds until staged changes are published by themselves; null where that is not set, or nothing is staged."""


class ReloadAnswer(Answer):
    """What became of settings that were read again; keys always are."""

    changed: tuple[str, ...]
    """Settings that act from now on."""
    need_restart: tuple[str, ...]
    """Settings that have other values, and act after a restart."""


class InfoAnswer(Answer):
    """The service: versions, settings without secrets, limits."""

    lexirec: str
    model: ModelAnswer
    catalog: CatalogAnswer
    settings: dict[str, Any]
    seconds_since_start: float

"""Read the settings again while the service runs: keys, limits, types of events, logs, and when to publish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lexirec.core.errors import LexirecError
from lexirec.serving.answering.answers import Reading
from lexirec.serving.database.event_rows import EventPolicy
from lexirec.serving.database.event_rules import EventRules
from lexirec.serving.http.logs import UserNames
from lexirec.serving.schemas.service import ReloadAnswer
from lexirec.serving.settings import EventSettings, ServeSettings, different_settings

if TYPE_CHECKING:
    from lexirec.serving.http.service import Service

_log = logging.getLogger(__name__)
RELOADED = ("limits", "events", "logs", "catalog")
"""Tables of settings that act at once; all others need a restart."""
_DAY = 86_400.0


def event_policy(events: EventSettings) -> EventPolicy:
    """Return which events the database takes."""
    keep = None if events.keep_days is None else events.keep_days * _DAY
    return EventPolicy(events.unknown_items, events.future_seconds, keep)


def reload(service: Service) -> ReloadAnswer:
    """Read settings and keys again, and let those act that can without a restart.

    Raises:
        LexirecError: the settings cannot be used; nothing has changed then.
    """
    service.database.keys.forget()
    fresh = service.settings if service.reread is None else service.reread()
    names = different_settings(service.settings, fresh)
    changed = tuple(name for name in names if name.partition(".")[0] in RELOADED)
    if changed:
        _apply(service, fresh)
    answer = ReloadAnswer(changed=changed, need_restart=tuple(name for name in names if name not in changed))
    _log.info("settings were read again", extra={"fields": answer.model_dump()})
    return answer


def reload_and_tell(service: Service) -> None:
    """The same for a signal, whose sender reads the log."""
    try:
        reload(service)
    except LexirecError as error:
        _log.error("the settings stay as they were: %s", error)


def _apply(service: Service, fresh: ServeSettings) -> None:
    before = service.settings
    settings = before.model_copy(update={name: getattr(fresh, name) for name in RELOADED})
    events = settings.events
    rules = EventRules.of(events.read, events.seen, events.never)
    service.settings = service.housekeeping.settings = settings  # what else reads them asks the service each time
    service.rules = service.engine.meaning = rules
    service.answers.reading = Reading(service.stored_events, rules)
    service.database.events.policy = event_policy(events)
    service.engine.limit = settings.limits.waiting
    if settings.limits.rate != before.limits.rate:
        service.gate.limit_rate(settings.limits.rate)
    if settings.logs.user_ids != before.logs.user_ids:
        service.user_names = UserNames(settings.logs.user_ids == "plain")

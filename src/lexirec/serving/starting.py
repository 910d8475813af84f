"""Start a service: open its database, load what answers, check who may ask, serve until it is told to stop."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Callable

from lexirec.core.errors import SettingsError
from lexirec.core.runs import find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.models.loading import chosen, folder_named
from lexirec.serving.answering.remembering import ServedModels
from lexirec.serving.answering.sources import SourceFinder
from lexirec.serving.database.clock import SimulatedClock
from lexirec.serving.database.opening import Database, open_database
from lexirec.serving.http.auth import check_address
from lexirec.serving.http.logs import log_as_json
from lexirec.serving.http.server import run_server
from lexirec.serving.http.service import Service
from lexirec.serving.memory import few_pools, settle
from lexirec.serving.settings import KEY_VARIABLE, ServeSettings
from lexirec.serving.upkeep.reloading import event_policy

_log = logging.getLogger(__name__)
FOLDER = "serving"
"""Folder of the store that holds the databases of services."""


def database_url(settings: ServeSettings, store: Store, name: str | None) -> str:
    """Return the URL of a service's database: that of the settings, else a file in the store.

    Raises:
        SettingsError: neither a URL nor a name is given.
    """
    if settings.storage.url is not None:
        return settings.storage.url
    if name is None:
        raise SettingsError("which service? give storage.url, or --for NAME of the experiment that is served")
    folder = store.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "service"
    return f"sqlite:///{folder / plain}.db"


def open_for(settings: ServeSettings, store: Store, name: str | None, *, migrate: bool = False) -> Database:
    """Open the database of a service."""
    clock = SimulatedClock() if settings.storage.clock == "simulated" else None
    url = database_url(settings, store, name)
    return open_database(url, migrate=migrate, clock=clock, policy=event_policy(settings.events))


def served_items(store: Store, name: str) -> frozenset[str]:
    """Return the ids of the items that a service of this experiment, or folder, recommends."""
    folder = folder_named(name)
    if folder is None:
        run = find_run(store, name)
        folder = recommenders(run)[chosen(run)].folder
    return frozenset(Catalog.load(folder / "catalog").item_ids)


def start_service(
    store: Store,
    name: str,
    wanted: str | None,
    settings: ServeSettings,
    *,
    migrate: bool = False,
    reread: Callable[[], ServeSettings] | None = None,
) -> None:
    """Serve an experiment until SIGTERM or SIGINT.

    Args:
        store: of finished experiments.
        name: of the experiment, the folder of a saved recommender, or `org/name` of the hub.
        wanted: name of one of the experiment's recommenders.
        settings: of the service.
        migrate: bring the schema of the database up to date.
        reread: reads the settings again, for SIGHUP and `POST /v1/reload`.

    Raises:
        ArtifactError: there is no such experiment or recommender.
        SettingsError: the address would be open to everybody.
        DatabaseError: the database cannot be used.
    """
    began = time.monotonic()
    log_as_json()
    few_pools()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server reads settings again at this signal
    database = open_for(settings, store, name, migrate=migrate)
    try:
        has_key = bool(os.environ.get(KEY_VARIABLE)) or database.keys.in_use()
        check_address(settings.host, has_key=has_key, insecure=settings.auth.insecure)
        served = ServedModels(database.models, SourceFinder(store, settings.models.root), name, wanted)
        service = Service(settings, database, served.first(settings.models.start), served)
        service.reread = reread
        service.start()
    except BaseException:
        database.close()
        raise
    settle()
    _log.info("started in %.1f s", time.monotonic() - began)
    if not database.events.count():
        _log.info("the database has no events yet; lexirec import-events %s gives it those of the experiment", name)
    run_server(service)

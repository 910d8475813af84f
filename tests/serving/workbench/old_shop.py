"""A service of a small finished experiment whose model has a tree, in this process, with or without a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from lexirec.core.store import Store
from lexirec.serving.answering.remembering import ServedModels
from lexirec.serving.answering.sources import SourceFinder
from lexirec.serving.http.app import create_app
from lexirec.serving.http.service import Service
from lexirec.serving.starting import open_for
from tests.serving.shop import settings
from tests.worlds.grown_shop import unpack

NAME = "old-gram"
PAGE = "<!doctype html><title>A study</title><script>document.title = 'ran'</script><p>What a study found.</p>"


@contextmanager
def old_service(folder: Path) -> Iterator[Service]:
    """A started service over a store with two experiments and a study."""
    store: Store = unpack(folder)
    study = store.root / "studies" / "seeds"
    study.mkdir(parents=True)
    (study / "report.html").write_text(PAGE, encoding="utf-8")
    chosen = settings()
    database = open_for(chosen, store, NAME)
    try:
        served = ServedModels(database.models, SourceFinder(store), NAME, None)
        service = Service(chosen, database, served.first("active"), served)
        service.start()
    except BaseException:
        database.close()
        raise
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """Serve on a free port, on a thread; yield the address."""
    server = uvicorn.Server(uvicorn.Config(create_app(service), port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)

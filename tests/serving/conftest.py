from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lexirec.serving.database.opening import Database, open_database
from tests.serving.postgres import PostgresServer, start_server

NOW = 1_700_000_000.0


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = start_server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'lexirec.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'lexirec.db'}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Callable[[], float]) -> Iterator[Database]:
    """A new database of each kind; its clock stands at `NOW`."""
    with open_database(database_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def sqlite(sqlite_url: str, clock: Callable[[], float]) -> Iterator[Database]:
    with open_database(sqlite_url, clock=clock) as opened:
        yield opened

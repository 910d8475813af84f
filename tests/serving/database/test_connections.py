import logging

import pytest
from sqlalchemy import make_url

from lexirec.core.errors import SettingsError
from lexirec.serving.database.connections import POOL_OVERFLOW, POOL_SIZE, connect, parse_url, shown
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.opening import open_database

PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "foreign_keys": 1, "secure_delete": 1}


def test_every_pooled_sqlite_connection_has_the_pragmas(sqlite):
    connections = [sqlite.engine.connect() for _ in range(POOL_SIZE + POOL_OVERFLOW)]
    try:
        found = [{name: each.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS} for each in connections]
        assert len({id(each.connection.dbapi_connection) for each in connections}) == POOL_SIZE + POOL_OVERFLOW
    finally:
        for each in connections:
            each.close()
    assert found == [PRAGMAS] * len(connections)


def test_the_writers_own_connection_has_the_pragmas(sqlite):
    from lexirec.serving.database.write_queue import single

    job = single(lambda connection: {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS})
    assert sqlite.writer.submit(job).result() == PRAGMAS


def test_every_pooled_postgresql_connection_commits_synchronously(postgres_server):
    engine = connect(parse_url(postgres_server.new_database()))
    connections = [engine.connect() for _ in range(POOL_SIZE + POOL_OVERFLOW)]
    try:
        found = {each.exec_driver_sql("SHOW synchronous_commit").scalar() for each in connections}
    finally:
        for each in connections:
            each.close()
        engine.dispose()
    assert found == {"on"}


@pytest.mark.parametrize("given", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_has_one_driver(given):
    assert parse_url(f"{given}://ann@host/shop").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("lexirec.db", "is no URL of a database"),
        ("mysql://ann:hunter2@host/shop", "is of 'mysql'"),
        ("postgresql+psycopgg://ann:hunter2@host/shop", "Did you mean 'postgresql+psycopg'?"),
        ("sqlite://", "needs the path of a file"),
        ("sqlite:///:memory:", "needs the path of a file"),
        ("sqlite:///a.db?mode=ro", "without options"),
    ],
)
def test_other_urls_are_refused_without_their_password(given, line):
    with pytest.raises(SettingsError) as refused:
        parse_url(given)
    assert line in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_passwords_are_not_shown():
    url = make_url("postgresql+psycopg://ann:hunter2@host/shop?sslpassword=hunter2&application_name=lexirec")
    assert shown(url) == "postgresql+psycopg://ann:***@host/shop?application_name=lexirec&sslpassword=hidden"


def test_a_server_that_does_not_answer_is_one_line_without_the_password(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseError) as refused:
        open_database("postgresql+psycopg://ann:hunter2@127.0.0.1:1/shop")
    assert "does not answer" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value) + caplog.text


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SettingsError, match="absent does not exist; create it"):
        open_database(f"sqlite:///{tmp_path}/absent/lexirec.db")


def test_a_new_file_is_its_owners_alone(sqlite, tmp_path):
    sqlite.keys.every()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path):
    with pytest.raises(DatabaseError, match="cannot be written"):
        open_database(f"sqlite:///{tmp_path}")

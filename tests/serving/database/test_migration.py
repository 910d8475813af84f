import random
import subprocess
import sys
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from lexirec.serving.database import migration
from lexirec.serving.database.connections import WRITING, connect, parse_url
from lexirec.serving.database.errors import DatabaseError, SchemaError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.migration import REVISIONS, current_revision
from lexirec.serving.database.opening import open_database
from lexirec.serving.database.tables import metadata


def test_the_list_of_revisions_is_alembics():
    config = Config()
    config.set_main_option("script_location", str(migration._FOLDER))
    scripts = ScriptDirectory.from_config(config)
    assert [each.revision for each in reversed(list(scripts.walk_revisions()))] == list(REVISIONS)
    assert scripts.get_current_head() == REVISIONS[-1]


def test_migrations_make_the_tables_of_the_metadata(database):
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        names = set(inspect(connection).get_table_names())
    assert differences == []
    assert names == {*metadata.tables, "alembic_version"}


def test_a_new_database_is_created_and_found_again(database_url):
    with open_database(database_url) as database:
        database.events.ingest([NewEvent("ann", "A1")]).result()
    with open_database(database_url, migrate=True) as database:
        assert database.events.count() == 1
        database.check()


def stamp(url: str, revision: str) -> None:
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_an_older_schema_is_refused_with_the_command_to_run(database_url, monkeypatch):
    open_database(database_url).close()
    before = REVISIONS[-1]
    monkeypatch.setattr(migration, "REVISIONS", (*REVISIONS, "lexirec_9999"))
    with pytest.raises(SchemaError, match=rf"older lexirec \(schema {before}, .* lexirec serve NAME --migrate$"):
        open_database(database_url)


def older(url: str, revision: str) -> None:
    """Make a database as the version with this revision made it."""
    engine = connect(parse_url(url))
    config = Config()
    config.set_main_option("script_location", str(migration._FOLDER))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
        environment = EnvironmentContext(config, scripts, fn=lambda rev, _: scripts._upgrade_revs(revision, rev))
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
    engine.dispose()


def test_impressions_of_the_first_schema_are_kept(database_url):
    older(database_url, "lexirec_0001")
    engine = connect(parse_url(database_url))
    with engine.begin() as connection:
        for number in range(3):
            row = {"id": f"r{number}", "time": 1.7e9 + number, "items": '[{"item_id": "A1", "rank": 1}]'}
            connection.execute(
                text(
                    "INSERT INTO impressions (recommendation_id, user_id, time, variant, snapshot, request, items)"
                    " VALUES (:id, 'ann', :time, 'active', 'm@1/0', '{\"k\"\\:3}', :items)"
                ),
                row,
            )
    engine.dispose()
    with pytest.raises(SchemaError, match="older lexirec"):
        open_database(database_url)
    with open_database(database_url, migrate=True) as database:
        assert current_revision(database.engine) == REVISIONS[-1]
        assert database.impressions.count() == 3
        shown = database.impressions.get("r2")
        assert (shown.time, shown.items, shown.request) == (1.7e9 + 2, [{"item_id": "A1", "rank": 1}], {"k": 3})
        assert (shown.fallback, shown.details) == (None, {})
        with database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("migrate", [False, True])
def test_a_newer_schema_is_refused(database_url, migrate):
    open_database(database_url).close()
    stamp(database_url, "lexirec_9999")
    with pytest.raises(SchemaError, match="newer lexirec"):
        open_database(database_url, migrate=migrate)


@pytest.mark.parametrize("migrate", [False, True])
def test_tables_of_something_else_are_refused(database_url, migrate):
    engine = connect(parse_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE parcels (number integer)"))
    with pytest.raises(SchemaError, match="tables of something else"):
        open_database(database_url, migrate=migrate)
    assert inspect(engine).get_table_names() == ["parcels"]
    engine.dispose()


def test_another_programs_alembic_is_refused(database_url):
    open_database(database_url).close()
    stamp(database_url, "ae1027a6acf")
    with pytest.raises(SchemaError, match="tables of something else"):
        open_database(database_url, migrate=True)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "photo.db").write_bytes(b"JFIF" * 1000)
    with pytest.raises(DatabaseError, match="is no SQLite database"):
        open_database(f"sqlite:///{tmp_path}/photo.db")


def test_a_migration_that_fails_leaves_nothing(database_url, monkeypatch):
    def broken(connection):
        connection.execute(text("CREATE TABLE half (number integer)"))
        raise RuntimeError("power failed")

    monkeypatch.setattr(migration, "_upgrade", broken)
    with pytest.raises(RuntimeError):
        open_database(database_url)
    monkeypatch.undo()
    with open_database(database_url) as database:
        assert "half" not in inspect(database.engine).get_table_names()


def test_a_process_killed_while_it_creates_a_database_leaves_one_that_opens(database_url):
    code = (
        "from lexirec.serving.database.opening import open_database\n"
        f"print(flush=True)\nopen_database({database_url!r})"
    )
    for delay in (0.0, 0.25 + random.random() / 2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.wait()
    with open_database(database_url) as database:
        assert current_revision(database.engine) == REVISIONS[-1]


def test_two_processes_create_one_database(database_url):
    code = f"from lexirec.serving.database.opening import open_database\nopen_database({database_url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1][-500:] for process in processes] == [b"", b""]
    assert [process.returncode for process in processes] == [0, 0]

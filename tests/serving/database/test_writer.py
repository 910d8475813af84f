import logging
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest
from sqlalchemy import text

from lexirec.serving.database.connections import connect, parse_url
from lexirec.serving.database.errors import OverloadedError, StorageFullError, StorageUnavailableError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import open_database
from lexirec.serving.database.write_queue import Write, single
from lexirec.serving.database.writer import GROUP_ROWS, Writer


def names(database) -> set[str]:
    query = text("SELECT name FROM counters WHERE name <> 'probe'")
    return database.access.read(lambda connection: set(connection.scalars(query)))


def add(name: str):
    statement = text("INSERT INTO counters (name, value) VALUES (:name, 1)")
    return single(lambda connection: connection.execute(statement, {"name": name}).rowcount)


class Gate:
    """A job that holds the writer until it is let go, so that what comes next waits together."""

    def __init__(self, database) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.future = database.writer.submit(single(self._hold))
        assert self.entered.wait(10)

    def _hold(self, connection) -> None:
        self.entered.set()
        assert self.open.wait(10)


def test_a_result_is_there_after_the_commit_and_not_before(database):
    gate = Gate(database)
    future = database.writer.submit(add("a"))
    assert not future.done()
    assert names(database) == set()
    gate.open.set()
    assert future.result(10) == 1
    assert names(database) == {"a"}


def test_a_bad_job_undoes_neither_its_neighbours_nor_what_it_follows(database, caplog):
    def half(connection):
        connection.execute(text("INSERT INTO counters (name, value) VALUES ('half', 1)"))
        raise ValueError("no")

    gate = Gate(database)
    futures = [database.writer.submit(job) for job in (add("a"), single(half), add("a"), add("b"))]
    before = database.writer.counts.commits
    gate.open.set()
    wait(futures)
    assert futures[0].result() == futures[3].result() == 1
    assert isinstance(futures[1].exception(), ValueError)
    told = futures[2].exception()  # the name is taken: the driver's error, without its SQL
    assert "INSERT" not in str(told)
    assert "UNIQUE" not in str(told).upper()
    assert names(database) == {"a", "b"}
    assert database.writer.counts.commits - before <= 2


def test_what_waits_is_written_by_one_commit(database):
    gate = Gate(database)
    futures = [database.writer.submit(add(str(number))) for number in range(100)]
    reports = []
    database.writer.on_commit = lambda seconds, rows: reports.append((seconds, rows))
    gate.open.set()
    wait(futures)
    while database.writer.counts.jobs < 101:
        time.sleep(0.01)
    assert sum(rows for _, rows in reports) == 101
    assert len(reports) <= 20
    assert all(seconds > 0 for seconds, _ in reports)


def test_a_group_has_a_bounded_number_of_rows(database):
    sizes = []

    def together(connection, payloads):
        sizes.append(len(payloads))
        return payloads

    gate = Gate(database)
    futures = [database.writer.submit(Write(together, n, joins=True)) for n in range(3 * GROUP_ROWS)]
    gate.open.set()
    assert [future.result(10) for future in futures] == list(range(3 * GROUP_ROWS))
    assert max(sizes) <= GROUP_ROWS
    assert len(sizes) < 30


def test_one_of_joined_jobs_may_fail(database):
    def together(connection, payloads):
        if "bad" in payloads:
            raise ValueError("bad")
        return [each.upper() for each in payloads]

    gate = Gate(database)
    futures = [database.writer.submit(Write(together, each, joins=True)) for each in ("a", "bad", "c")]
    gate.open.set()
    wait(futures)
    assert [futures[0].result(), futures[2].result()] == ["A", "C"]
    assert str(futures[1].exception()) == "bad"


def test_a_single_job_does_not_wait_for_more(sqlite):
    sqlite.writer.submit(add("first")).result()
    started = time.perf_counter()
    for _ in range(20):
        sqlite.writer.submit(single(lambda connection: None)).result()
    assert (time.perf_counter() - started) / 20 < 0.2


def test_more_rows_than_may_wait_are_refused_and_later_taken(database):
    writer = Writer(database.engine, queue_rows=10)
    try:
        entered, let_go = threading.Event(), threading.Event()
        held = writer.submit(single(lambda connection: (entered.set(), let_go.wait(10))))
        assert entered.wait(10)
        waiting = writer.submit(single(lambda connection: "written", rows=8))
        assert writer.fullness == 0.8
        with pytest.raises(OverloadedError, match="8 rows wait to be written and 3 more would be over the 10"):
            writer.submit(single(lambda connection: None, rows=3))
        assert writer.refused == 1
        let_go.set()
        assert waiting.result(10) == "written"
        held.result()
        assert writer.submit(single(lambda connection: "too", rows=3)).result(10) == "too"
    finally:
        writer.close()


def test_a_job_that_nobody_wants_any_more_is_left_out(database):
    gate = Gate(database)
    future = database.writer.submit(add("a"))
    assert future.cancel()
    gate.open.set()
    database.writer.submit(add("b")).result()
    assert names(database) == {"b"}
    with pytest.raises(CancelledError):
        future.result()


def test_closing_writes_what_waits_and_empties_sqlites_log(sqlite_url, tmp_path):
    database = open_database(sqlite_url)
    gate = Gate(database)
    futures = [database.writer.submit(add(str(number))) for number in range(50)]
    gate.open.set()
    assert database.close()
    assert [future.result(0) for future in futures] == [1] * 50
    assert [path.name for path in tmp_path.iterdir()] == ["lexirec.db"]
    with pytest.raises(StorageUnavailableError, match="being closed"):
        database.writer.submit(add("late"))


def test_the_heartbeat_stands_still_while_a_job_hangs(sqlite):
    assert sqlite.writer.seconds_since_beat() == 0.0
    gate = Gate(sqlite)
    time.sleep(0.3)
    assert sqlite.writer.seconds_since_beat() >= 0.25
    gate.open.set()
    gate.future.result()
    sqlite.writer.submit(add("a")).result()
    assert sqlite.writer.seconds_since_beat() < 0.25


def test_a_full_disk_refuses_writes_and_lets_reads_go_on_until_there_is_space(sqlite, caplog):
    sqlite.events.ingest([NewEvent("ann", "A1", event_id="kept")]).result()

    def limit(connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() + 2
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").all()

    sqlite.writer.submit(single(limit)).result()
    many = [NewEvent("ann", "A2", event_id=f"e{n}", properties={"text": "x" * 900}) for n in range(100)]
    with pytest.raises(StorageFullError, match=r"the disk is full; nothing was written\. Free space and try again\."):
        sqlite.events.ingest(many).result(10)
    assert isinstance(sqlite.writer.problem, StorageFullError)
    assert sqlite.events.count() == 1
    assert sqlite.users.histories(["ann"])["ann"].item_ids == ("A1",)
    deadline = time.monotonic() + 10
    sqlite.writer.submit(single(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").all())).result()
    while sqlite.writer.problem is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sqlite.writer.problem is None
    assert sqlite.events.ingest(many).result(10).accepted == 100


def test_a_database_that_another_program_locks_is_waited_for(sqlite):
    other = connect(parse_url(str(sqlite.engine.url)))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        future = sqlite.events.ingest([NewEvent("ann", "A1")])
        time.sleep(0.3)
        assert not future.done()
        connection.exec_driver_sql("COMMIT")
        assert future.result(10).accepted == 1
    other.dispose()


def test_a_database_that_stays_locked_fails_honestly(sqlite_url):
    database = open_database(sqlite_url)
    writer = Writer(database.engine, patience=0.0)
    other = connect(parse_url(sqlite_url))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailableError, match="another program holds the database's lock"):
            writer.submit(add("a")).result(20)
        connection.exec_driver_sql("COMMIT")
    assert writer.submit(add("b")).result(10) == 1
    assert names(database) == {"b"}
    writer.close()
    other.dispose()
    database.close()


def test_a_server_that_restarts_loses_and_doubles_nothing(postgres_server, caplog):
    database = open_database(postgres_server.new_database())
    acknowledged, stop = [], threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            name = f"e{number}"
            if database.events.ingest([NewEvent("ann", "A1", event_id=name)]).result(60).accepted:
                acknowledged.append(name)
            number += 1

    client = threading.Thread(target=send)
    client.start()
    time.sleep(0.3)
    postgres_server.stop()
    time.sleep(0.5)
    count_before = len(acknowledged)
    postgres_server.start()
    deadline = time.monotonic() + 15
    while len(acknowledged) < count_before + 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    client.join()
    stored = [event.event_id for event in database.events.page("ann", limit=1000).events]
    assert len(acknowledged) >= count_before + 20
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    database.close()


def test_a_server_that_stays_away_fails_the_group_and_its_return_is_noticed(postgres_server, caplog):
    database = open_database(postgres_server.new_database())
    writer = Writer(database.engine, patience=0.2)
    assert writer.submit(add("a")).result(10) == 1
    postgres_server.stop()
    try:
        with caplog.at_level(logging.ERROR), pytest.raises(StorageUnavailableError, match="does not answer"):
            writer.submit(add("b")).result(30)
        with pytest.raises(StorageUnavailableError):
            database.users.histories(["ann"])
    finally:
        postgres_server.start()
    deadline = time.monotonic() + 10
    while writer.problem is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert writer.problem is None
    assert writer.submit(add("c")).result(10) == 1
    assert names(database) == {"a", "c"}
    writer.close()
    database.close()


def test_a_transaction_that_the_database_has_undone_is_not_acknowledged(sqlite, caplog):
    def undo_all(connection) -> None:
        connection.connection.dbapi_connection.execute("ROLLBACK")  # what SQLite does by itself on some errors
        raise ValueError("no")

    gate = Gate(sqlite)
    futures = [sqlite.writer.submit(job) for job in (add("a"), single(undo_all), add("b"))]
    gate.open.set()
    wait([*futures, gate.future])
    done = [name for name, future in zip(("a", None, "b"), futures, strict=True) if future.exception() is None]
    assert names(sqlite) == set(done)
    assert sqlite.writer.submit(add("c")).result() == 1

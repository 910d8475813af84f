import threading

import pytest

from lexirec.serving.database.backup import back_up
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.event_rows import NewEvent
from lexirec.serving.database.opening import open_database


def test_a_backup_made_under_writes_is_a_database_with_what_was_there(sqlite, tmp_path):
    sqlite.events.ingest([NewEvent("ann", f"A{n}", event_id=f"e{n}") for n in range(100)]).result()
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            sqlite.events.ingest([NewEvent("bob", "A1", event_id=f"b{number}")]).result()
            number += 1

    client = threading.Thread(target=send)
    client.start()
    try:
        copy = back_up(sqlite.access, tmp_path / "copy.db")
    finally:
        stop.set()
        client.join()
    assert copy.stat().st_mode & 0o777 == 0o600
    with open_database(f"sqlite:///{copy}") as restored:
        assert len(restored.users.histories(["ann"])["ann"]) == 100
        assert restored.events.ingest([NewEvent("ann", "A5", event_id="e5")]).result().duplicates == 1
    with pytest.raises(DatabaseError, match="exists; name a new file"):
        back_up(sqlite.access, copy)
    with pytest.raises(DatabaseError, match="the folder does not exist"):
        back_up(sqlite.access, tmp_path / "absent" / "copy.db")


def test_postgresql_says_which_program_makes_backups(postgres_server, tmp_path):
    with open_database(postgres_server.new_database()) as database:
        with pytest.raises(DatabaseError, match=r"pg_dump -Fc -f .*copy 'postgresql://lexirec@/test_\d+"):
            back_up(database.access, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

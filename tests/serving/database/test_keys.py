import logging
import re

import pytest
from sqlalchemy import select

from lexirec.serving.database import keys as module
from lexirec.serving.database.errors import BadValueError, ConflictError, NotFoundError, StorageUnavailableError
from lexirec.serving.database.opening import open_database
from lexirec.serving.database.tables import keys
from tests.serving.conftest import NOW


def test_a_key_is_found_by_its_secret_which_is_stored_nowhere(database, caplog):
    assert not database.keys.in_use()
    with caplog.at_level(logging.DEBUG):
        secret = database.keys.add("web", ["write", "read"])
        other = database.keys.add("ops", ["admin"])
        key = database.keys.check(secret)
    assert re.fullmatch(r"lexirec_[\w-]{43}", secret)
    assert secret != other
    assert (key.name, key.scopes, key.created) == ("web", {"read", "write"}, NOW)
    assert [key.may(scope) for scope in ("read", "write", "admin")] == [True, True, False]
    assert all(database.keys.check(other).may(scope) for scope in ("read", "write", "admin"))
    for wrong in ("", "web", secret[:-1], secret + "x", secret.swapcase(), "ü", "\ud800"):
        assert database.keys.check(wrong) is None
    rows = database.access.read(lambda connection: connection.execute(select(keys)).all())
    assert secret not in repr(rows) + caplog.text
    assert secret.removeprefix("lexirec_") not in repr(rows) + caplog.text


def test_a_revoked_key_is_refused_at_once_and_its_name_stays_taken(database):
    secret = database.keys.add("web", ["read"])
    assert database.keys.check(secret)
    assert database.keys.revoke("web").revoked == NOW
    assert database.keys.revoke("web").revoked == NOW
    assert database.keys.check(secret) is None
    assert not database.keys.in_use()
    assert [(key.name, key.revoked) for key in database.keys.every()] == [("web", NOW)]
    with pytest.raises(ConflictError, match="there is a key 'web' already, or there was"):
        database.keys.add("web", ["read"])
    with pytest.raises(NotFoundError, match=r"there is no key 'wep'\. Did you mean 'web'\?"):
        database.keys.revoke("wep")


def test_another_process_notices_without_a_restart(database_url, monkeypatch):
    with open_database(database_url) as service, open_database(database_url) as command:
        secret = command.keys.add("web", ["read"])
        assert service.keys.check(secret)
        command.keys.revoke("web")
        assert service.keys.check(secret)  # what was read a moment ago is trusted
        monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
        assert service.keys.check(secret) is None


@pytest.mark.parametrize(
    ("name", "scopes", "line"),
    [
        ("", ["read"], "name has 0 characters"),
        ("a\nb", ["read"], "control character"),
        ("web", ["reed"], "scope 'reed'; allowed are read, write, admin. Did you mean 'read'?"),
        ("web", [], "a key needs a scope"),
    ],
)
def test_names_and_scopes_are_checked(sqlite, name, scopes, line):
    with pytest.raises(BadValueError, match=re.escape(line)):
        sqlite.keys.add(name, scopes)
    assert sqlite.keys.every() == []


def test_keys_go_on_to_count_while_the_database_does_not_answer(sqlite, monkeypatch):
    secret = sqlite.keys.add("web", ["read"])
    assert sqlite.keys.check(secret) is not None

    def fail(query):
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(module, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(sqlite.access, "read", fail)
    assert sqlite.keys.stale
    assert sqlite.keys.check(secret).name == "web"
    assert sqlite.keys.check("lexirec_other") is None
    assert sqlite.keys.in_use()


def test_keys_that_were_never_read_let_nobody_in(sqlite, monkeypatch):
    def fail(query):
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(sqlite.access, "read", fail)
    with pytest.raises(StorageUnavailableError):
        sqlite.keys.check("lexirec_any")

import pytest

from lexirec.core.errors import SettingsError
from lexirec.serving.http.auth import ANYBODY, Gate, check_address, is_loopback
from lexirec.serving.problems import ProblemError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    assert is_loopback(host)
    check_address(host, has_key=False, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "shop.example"])
def test_another_address_needs_a_key_or_the_users_word(host):
    with pytest.raises(SettingsError, match=r"lexirec key add NAME.*--insecure"):
        check_address(host, has_key=False, insecure=False)
    check_address(host, has_key=True, insecure=False)
    check_address(host, has_key=False, insecure=True)


def test_the_key_of_the_environment_has_every_scope(sqlite):
    gate = Gate(sqlite.keys, "s3cret", None)
    assert not gate.open
    assert gate.admit("s3cret", "admin", "").name == "environment"
    with pytest.raises(ProblemError, match="unknown or revoked"):
        gate.admit("s3cret ", "read", "")


def test_without_keys_everybody_may_ask_and_the_first_key_ends_that(sqlite):
    gate = Gate(sqlite.keys, None, None)
    assert gate.admit(None, "admin", "") == ANYBODY
    secret = sqlite.keys.add("web", ["read"])
    with pytest.raises(ProblemError, match="no key was sent"):
        gate.admit(None, "read", "")
    assert gate.admit(secret, "read", "").name == "web"
    with pytest.raises(ProblemError, match="the key 'web' has the scopes read; this needs 'write'"):
        gate.admit(secret, "write", "")
    sqlite.keys.revoke("web")
    sqlite.keys.add("other", ["read"])
    with pytest.raises(ProblemError, match="unknown or revoked"):
        gate.admit(secret, "read", "")

import pytest

from lexirec.serving.database.errors import BadValueError
from lexirec.serving.database.ids import checked, checked_user, is_session, possible_users, session_user

IMPOSSIBLE = ["", "\0", "a\0b", "a\ud800", "x" * 300, "null", " "]


def test_ids_that_nobody_has_are_of_nobody(database):
    assert possible_users(["ann", *IMPOSSIBLE, "ann"]) == ["ann"]
    assert {len(each) for each in database.users.histories(IMPOSSIBLE).values()} == {0}
    for each in IMPOSSIBLE:
        assert database.users.get(each) is None
        assert database.events.page(each).events == []
        assert database.impressions.get(each) is None
        with pytest.raises(BadValueError):
            database.users.erase(each)


def test_sessions_are_users_under_a_prefix():
    assert session_user("77") == checked_user("session:77") == "session:77"
    assert is_session("session:77")
    assert not is_session("77")


def test_a_wrong_id_is_named_with_what_is_allowed():
    with pytest.raises(BadValueError, match=r"name has 70 characters; allowed are 1 to 64\.$"):
        checked("name", "x" * 70, 64)

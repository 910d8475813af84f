import pytest

from lexirec.workflows.audit.findings import Audit, Finding, ordered, percent

LEAK = Finding("leak", "f", "e", "a", 0.1, ("user x",), "one")
NOTE = Finding("note", "f", "e", "a", 0.9, (), "two")


def test_the_worst_come_first_then_those_that_touch_most():
    small = Finding("leak", "f", "e", "a", 0.01, (), "three")
    assert ordered([NOTE, small, LEAK]) == [LEAK, small, NOTE]


def test_an_audit_says_how_bad_it_is():
    found = Audit("mine", [LEAK, NOTE], {"one": "is it?"}, {"four": "why"}, 1.0)
    assert found.counts == {"leak": 1, "distortion": 0, "note": 1}
    assert found.at_least("leak")
    noted = Audit("mine", [NOTE], {}, {})
    assert not noted.at_least("distortion")
    assert noted.at_least("note")
    assert found.as_json()["findings"][0]["examples"] == ("user x",)


@pytest.mark.parametrize(("share", "written"), [(0.5, "50.0%"), (0.0051, "0.51%"), (0.0, "0.0%")])
def test_small_shares_have_two_digits(share, written):
    assert percent(share) == written

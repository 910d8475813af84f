import pytest

from lexirec.core.errors import DataError
from lexirec.data.event_types import EventTypes
from lexirec.models.event_meaning import split_event, told_apart

EVENTS = [("view", "A"), ("buy", "B"), ("hide", "C"), ("buy", "D")]


@pytest.mark.parametrize(
    ("types", "history", "seen", "never"),
    [
        ({}, "xABCD", "xABCD", ""),
        ({"read": ("buy",)}, "xBD", "xABCD", ""),
        ({"never": ("hide",)}, "xABD", "xABD", "C"),
        ({"read": ("buy",), "seen": ("view",), "never": ("hide",)}, "xBD", "xA", "C"),
        ({"read": ("buy", "hide"), "never": ("hide",)}, "xBCD", "xABD", "C"),
    ],
)
def test_events_are_told_apart_by_their_types(types, history, seen, never):
    found = told_apart(EventTypes(**types), ["x"], EVENTS)
    assert ["".join(each) for each in found] == [history, seen, never]


def test_an_event_is_a_type_and_an_id_that_may_hold_colons():
    assert split_event("buy:urn:isbn:1") == ("buy", "urn:isbn:1")


@pytest.mark.parametrize("text", ["A1", "buy:", ":A1", ""])
def test_an_event_without_type_or_id_is_told(text):
    with pytest.raises(DataError, match="write it as TYPE:ID"):
        split_event(text)

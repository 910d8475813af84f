import pytest

from lexirec.serving.database.errors import BadValueError
from lexirec.serving.database.item_rows import item_values, moment


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (1_700_000_000, 1_700_000_000.0),
        (0.5, 0.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("2023-11-14", 1_699_920_000.0),
    ],
)
def test_availability_is_seconds_or_rfc_3339(given, seconds):
    assert moment("A1", "available_from", given) == seconds


@pytest.mark.parametrize("given", ["soon", True, float("inf"), [], "2023-13-01"])
def test_other_availability_is_refused(given):
    with pytest.raises(
        BadValueError, match=r"item 'A1': available_until is .*; allowed are seconds since 1970 or times"
    ):
        item_values("A1", {"available_until": given} if given != float("inf") else {"available_until": "inf"}, "title")


@pytest.mark.parametrize(
    ("item_id", "row", "line"),
    [
        ("", {}, "item_id has 0 characters"),
        ("A1", {"item_id": "A1"}, "'item_id' stands beside the row"),
        ("A1", {"state": "live"}, "'state' stands beside the row"),
        ("A1", {"text": "x" * 65_600}, "item 'A1' has 65,612 bytes; allowed are 65,536"),
        ("A1", {"a": object()}, "item 'A1' is no JSON object"),
        ("A1", {"available_from": 5, "available_until": 5}, "available_until is not after available_from"),
    ],
)
def test_rows_that_are_not_taken(item_id, row, line):
    with pytest.raises(BadValueError, match=line):
        item_values(item_id, row, "title")

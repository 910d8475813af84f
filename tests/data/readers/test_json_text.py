from __future__ import annotations

import json

import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog

OBJECTS = [{"item_id": "a0", "title": "Red river"}, {"item_id": "a1", "title": "Blue moon"}]


def items(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    return Catalog.read(tmp_path / "t.json", text=["title"]).table.to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        "".join(json.dumps(each) + "\n" for each in OBJECTS),
        "\n\n".join(map(json.dumps, OBJECTS)),
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2),
        "\ufeff" + json.dumps(OBJECTS),
        "  \n" + json.dumps(OBJECTS, indent=4),
        "\n".join(json.dumps(each, indent=2) for each in OBJECTS),
        "[" + ",\n".join(map(json.dumps, OBJECTS)) + "]",
        "[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]\n",
        "\r\n".join(map(json.dumps, OBJECTS)),
    ],
)
def test_objects_are_read_however_they_are_written(tmp_path, text):
    assert items(tmp_path, text) == OBJECTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a0": {"title": "x"}, "a1": {"title": "y"}}', "one JSON object of 2 entries"),
        (json.dumps({"data": OBJECTS}), "one JSON object of 1 entries"),
        (json.dumps({"title": {"0": "x"}, "item_id": {"0": "a0"}}, indent=1), "one JSON object of 2 entries"),
        ("[1, 2, 3]", "no line is a JSON object"),
        ('[["a0", "Red river"]]', "no line is a JSON object"),
        ("not json at all\n", "no line is a JSON object"),
        (json.dumps(OBJECTS)[:-8], "cannot be read as JSON"),
        ("[]", "the file holds no object"),
    ],
)
def test_json_that_is_no_table_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        items(tmp_path, text)
    assert "\n" not in str(caught.value)

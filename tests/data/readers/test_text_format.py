from __future__ import annotations

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.data.readers.text_format import TextFormat


def test_an_encoding_has_one_name():
    assert TextFormat(encoding="Latin1").encoding == TextFormat(encoding="iso-8859-1").encoding


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoding": "klingon"}, "name of an encoding"),
        ({"delimiter": "\n"}, "line ends"),
        ({"delimiter": ";", "quote": ";"}, "should differ"),
        ({"quote": "''"}, "at most 1 character"),
        ({"delimiter": ""}, "at least 1 character"),
    ],
)
def test_a_format_that_cannot_be_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        validate_settings(values, TextFormat)

from pathlib import Path

import pytest

from lexirec.core.arguments import NotFittedError, check_columns, expect, given_path
from lexirec.core.errors import DataError, LexirecError


def test_what_is_of_another_type_is_one_line():
    expect("k", 3, int, "pass a number")
    expect("k", None, (int, type(None)), "pass a number")
    for value, name in ((True, "bool"), ("3", "str"), (None, "NoneType"), (3.0, "float")):
        with pytest.raises(DataError, match=f"^k is of type {name}; pass a number$"):
            expect("k", value, int, "pass a number")


def test_paths_are_texts_or_paths():
    assert given_path("path", "a/b") == Path("a/b")
    for value in (None, 3, b"x", ["x"]):
        with pytest.raises(DataError, match=r"^path is of type \w+; pass the path of a file or folder"):
            given_path("path", value)


def test_columns_are_a_table_of_texts():
    check_columns(None)
    check_columns({"item_id": "asin"})
    for value in ("x", ["x"], 3, {"item_id": 3}, {3: "asin"}):
        with pytest.raises(DataError, match=r"^columns (is|are) "):
            check_columns(value)


def test_what_is_not_fitted_lacks_an_attribute_and_is_a_users_error():
    assert issubclass(NotFittedError, LexirecError)
    assert not hasattr(type("Empty", (), {"__getattr__": lambda *_: (_ for _ in ()).throw(NotFittedError("x"))})(), "a")

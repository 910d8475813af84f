import duckdb
import pytest

from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.text_values import NULL_WORDS, missing


def is_missing(value, *words):
    sql = "NULL" if value is None else literal(value)
    ((found,),) = duckdb.execute(f"SELECT {missing(f'CAST({sql} AS VARCHAR)', *words)}").fetchall()
    return found


@pytest.mark.parametrize("value", [None, "", " \t", "\u00a0", "\u3000\u200b", *NULL_WORDS, " nan ", "\u00a0N/A"])
def test_nothing_blanks_and_null_words_are_missing(value):
    assert is_missing(value) is True


@pytest.mark.parametrize("value", ["0", "a", "Nan", "Nat", "nano", "None of us", "no", "unknown", "---x", "nan,nan"])
def test_other_words_are_not(value):
    assert is_missing(value) is False


def test_the_words_can_be_changed():
    assert not is_missing("NA", ())
    assert is_missing(" ", ())
    assert is_missing("it's", ("it's",))

import pytest

from lexirec.core.errors import DataError
from lexirec.data.loading import DataSettings
from lexirec.data.readers.where import MAX_DEPTH, MAX_LENGTH, Compare, IsNull, Join, Not, parse


def test_comparisons():
    assert parse("rating >= 4") == Compare("rating", ">=", 4.0)
    assert parse("rating>=-1.5e0") == Compare("rating", ">=", -1.5)
    assert parse("event = 'it''s'") == Compare("event", "=", "it's")
    assert parse("event == 'buy'") == parse("event='buy'")
    assert parse("event != 'buy'") == parse("event <> 'buy'") == Compare("event", "<>", "buy")
    assert parse("is_read = TRUE") == Compare("is_read", "=", True)
    assert parse("4 <= rating") == parse("rating >= 4")
    assert parse("'a' = name") == Compare("name", "=", "a")


def test_columns_of_any_name():
    assert parse('"event type" = 1') == parse("`event type` = 1") == Compare("event type", "=", 1.0)
    assert parse('"and ""so"" on" is null') == IsNull('and "so" on')
    assert parse("größe_2 is NOT null") == Not(IsNull("größe_2"))
    assert parse("count = 1") == Compare("count", "=", 1.0)


def test_lists_and_ranges():
    equal = [Compare("a", "=", value) for value in ("x", "y", 3.0)]
    assert parse("a in ('x', 'y', 3)") == Join("or", tuple(equal))
    assert parse("a not in ('x', 'y', 3)") == Not(Join("or", tuple(equal)))
    assert parse("a in ('x')") == equal[0]
    assert parse("a between 1 and 2 and b = 3") == Join(
        "and", (Join("and", (Compare("a", ">=", 1.0), Compare("a", "<=", 2.0))), Compare("b", "=", 3.0))
    )
    assert isinstance(parse("a not between 1 and 2"), Not)


def test_not_binds_closer_than_and_which_binds_closer_than_or():
    a, b, c = (Compare(name, "=", 1.0) for name in "abc")
    assert parse("a=1 or b=1 and not c=1") == Join("or", (a, Join("and", (b, Not(c)))))
    assert parse("(a=1 or b=1) and c=1") == Join("and", (Join("or", (a, b)), c))
    assert parse("not not (a=1)") == Not(Not(a))
    assert parse("a=1 OR b=1 Or c=1") == Join("or", (a, b, c))


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("", 1, "expected is a column, not the end"),
        ("rating", 7, "expected is a comparison, in, between or is null, not the end"),
        ("rating >=", 10, "expected is a number, a 'text' in single quotes, true or false, not the end"),
        ("rating >= 4 an event = 1", 13, "expected is and, or, or the end, not 'an'"),
        ("rating >= 4 && a = 1", 13, "'&' has no meaning here"),
        ("event = \"buy\"", 9, "texts stand in single quotes, not \"buy\""),
        ("event = 'buy", 9, "a quote is not closed"),
        ("event = buy", 9, "expected is a number, a 'text' in single quotes, true or false, not 'buy'"),
        ("event = null", 9, 'missing values are found by "is null"'),
        ("event is 'x'", 10, "expected is null, not \"'x'\""),
        ("a in ()", 7, "expected is a number"),
        ("a in ('x'", 10, "expected is ), not the end"),
        ("a not 3", 7, "expected is in or between, not '3'"),
        ("(a = 1", 7, "expected is ), not the end"),
        ("a = 1)", 6, "expected is and, or, or the end, not ')'"),
        ("a like 'x%'", 3, "expected is a comparison, in, between or is null, not 'like'"),
        ("a = 1; drop table events", 6, "';' has no meaning here"),
        ("a = 1 -- b", 7, "'-' has no meaning here"),
        ("a = 1 /* b */", 7, "'/' has no meaning here"),
        ("lower(a) = 'x'", 6, "expected is a comparison, in, between or is null, not '('"),
        ("a = getenv('HOME')", 5, "expected is a number"),
        ("a = (select 1)", 5, "expected is a number"),
        ("a + 1 > 2", 3, "'+' has no meaning here"),
        ("a = b", 5, "expected is a number"),
        ("1 = 1", 5, "expected is a column, not '1'"),
        ("a = 12345678901234567890", 5, "numbers have 15 digits at most; compare longer ids as texts"),
        ("a = 1x", 5, "'1' has no meaning here"),
        ("a = $1", 5, "'$' has no meaning here"),
        ("and = 1", 1, "expected is a column, not 'and'"),
        ("a = 'x' 'y'", 9, "expected is and, or, or the end"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_place(text, place, problem):
    with pytest.raises(DataError) as error:
        parse(text)
    said = str(error.value)
    assert said.startswith(f"where, character {place} (near ")
    assert f"): {problem}" in said
    assert said.endswith("; and, or, not and parentheses join conditions.")
    assert "\n" not in said


def test_conditions_are_bounded():
    assert parse("(" * MAX_DEPTH + "a = 1" + ")" * MAX_DEPTH) == Compare("a", "=", 1.0)
    for text in ("(" * 500 + "a = 1" + ")" * 500, "not " * 400 + "a = 1"):
        with pytest.raises(DataError, match="parentheses and not may be 50 deep"):
            parse(text)
    with pytest.raises(DataError, match=r"where has 2,0\d\d characters; allowed are 2,000"):
        parse(" or ".join(["a = 1"] * (MAX_LENGTH // 9)) + " or a = 1" * 3)


def test_the_setting_is_checked_when_it_is_read():
    given = {"items": "i.csv", "interactions": "e.csv"}
    assert DataSettings(**given, where="rating >= 4").where == "rating >= 4"
    with pytest.raises(ValueError, match=r"where, character 8 \(near 'rating = '\)|where, character 9"):
        DataSettings(**given, where="rating =")

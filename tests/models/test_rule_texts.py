import pytest

from lexirec.core.errors import DataError
from lexirec.models.rule_texts import AtMost, Boost, given_boosts, given_quotas


@pytest.mark.parametrize(
    ("text", "weight", "filter_text"),
    [
        ("0.7:stock>0", 0.7, "stock>0"),
        (" -2 : brand=A:3 ", -2.0, "brand=A:3"),
        ("1e-1:time>=2024-01-01T10:30", 0.1, "time>=2024-01-01T10:30"),
        ("+.5:title~a 2:1", 0.5, "title~a 2:1"),
        ("10.:'odd: name'=x", 10.0, "'odd: name'=x"),
    ],
)
def test_a_boost_is_a_weight_and_a_filter(text, weight, filter_text):
    assert Boost.parse(text) == Boost(filter_text, weight)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stock>0", "boost 'stock>0' cannot be parsed; write WEIGHT:FILTER"),
        ("stock>0:0.7", "cannot be parsed; write WEIGHT:FILTER"),
        ("", "boost '' cannot be parsed"),
        ("nan:stock>0", "cannot be parsed"),
        ("11:stock>0", "boost 'stock>0': the weight is 11.0; it should be a number from -10 to 10"),
        ("-1e9:stock>0", "it should be a number from -10 to 10"),
    ],
)
def test_what_is_no_boost_is_refused_in_one_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        Boost.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True, "1", None, 10.5])
def test_a_weight_is_a_number_of_moderate_size(weight):
    with pytest.raises(DataError, match="the weight is"):
        Boost("a=1", weight)


def test_a_quota_is_a_field_and_a_count():
    assert AtMost.parse("brand=2") == AtMost("brand", 2)
    assert AtMost.parse(' "a=b" = 12 ') == AtMost("a=b", 12)
    assert AtMost.parse("a=b=3", ["a=b", "title"]) == AtMost("a=b", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brand", "filter 'brand' cannot be parsed"),
        ("brand<2", "quota 'brand<2' cannot be parsed; write FIELD=COUNT"),
        ("brand=two", "cannot be parsed; write FIELD=COUNT"),
        ("brand=2.5", "cannot be parsed; write FIELD=COUNT"),
        ("brand=0", "at most 0 items per 'brand': the number should be a whole one of at least 1"),
        ("brand=-1", "at most -1 items per 'brand'"),
        ("brnd=1", r"items have no field 'brnd'.*Did you mean 'brand'\?"),
    ],
)
def test_what_is_no_quota_is_refused_in_one_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        AtMost.parse(text, ["brand", "title"])
    assert "\n" not in str(caught.value)


def test_boosts_and_quotas_are_given_as_texts_tables_or_objects():
    assert given_boosts(["0.5:a=1", Boost("b=2", 1)]) == (Boost("a=1", 0.5), Boost("b=2", 1))
    assert given_boosts({"a=1": 0.5}) == (Boost("a=1", 0.5),)
    assert given_quotas(["brand=2", AtMost("tag", 1)], ["brand"]) == (AtMost("brand", 2), AtMost("tag", 1))
    assert given_quotas({"brand": 2}) == (AtMost("brand", 2),)
    assert given_boosts(()) == given_quotas(()) == ()


@pytest.mark.parametrize("given", ["0.7:a=1", b"0.7:a=1", 5, None, [5], [("a=1", 0.5)], {"a=1": "much"}, {3: 1.0}])
def test_boosts_of_other_types_are_refused(given):
    with pytest.raises(DataError, match="boost"):
        given_boosts(given)


@pytest.mark.parametrize("given", ["brand=2", 5, None, [5], [("brand", 2)], {"brand": 2.0}, {"brand": True}, {"": 1}])
def test_quotas_of_other_types_are_refused(given):
    with pytest.raises(DataError, match=r"at_most|at most|quota"):
        given_quotas(given)

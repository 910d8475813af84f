import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.recommend import allowed_items, matches

CATALOG = Catalog(
    pa.table(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["Oak chair", "Steel lamp", "Oak table", None],
            "brand": ["Acme", "acme", "Other", None],
            "categories": [["Home", "Chairs"], ["Home", "Lamps"], [], None],
            "price": [10.0, 20.0, None, 40.0],
            "year": [2019, 2020, 2021, None],
        }
    ),
    ("title",),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("brand=Acme", "ab"),
        ("brand = ACME", "ab"),
        ("brand!=acme", "cd"),
        ("title~oak", "ac"),
        ("categories=lamps", "b"),
        ("categories~am", "b"),
        ("categories=home", "ab"),
        ("price<20", "a"),
        ("price<=20", "ab"),
        ("price>20", "d"),
        ("price>=20", "bd"),
        ("price=40", "d"),
        ("year>2019", "bc"),
        ("item_id!=a", "bcd"),
    ],
)
def test_a_filter_finds_its_items(text, expected):
    assert "".join(np.array(list("abcd"))[matches(CATALOG, text)]) == expected


def test_numbers_of_a_csv_are_compared_as_numbers(tmp_path):
    (tmp_path / "items.csv").write_text('item_id,title,price\na,x,9.99\nb,x,"1,299.00"\nc,x,\nd,x, 120 \ne,x,5\n')
    catalog = Catalog.read(tmp_path / "items.csv", text=["title"])
    assert matches(catalog, "price<20").tolist() == [True, False, False, False, True]
    assert matches(catalog, "price>=9.99").tolist() == [True, False, False, True, False]
    with pytest.raises(DataError, match="the field holds text"):
        matches(catalog, "title<20")


def test_filters_add_up():
    mask = allowed_items(CATALOG, allow=["price>=10", "title~a"], deny=["brand=other", "price=20"])
    assert mask is not None
    assert mask.tolist() == [True, False, False, False]
    assert allowed_items(CATALOG) is None


@pytest.mark.parametrize(
    ("allow", "message"),
    [
        ("brnd=x", r"filter 'brnd=x': items have no field 'brnd'; .*Did you mean 'brand'"),
        ("oak", "filter 'oak' cannot be parsed; write field=value"),
        ("price<cheap", "the field holds numbers, but 'cheap' is not a number"),
        ("price~3", "the field holds numbers"),
        ("title<z", "the field holds text, which < cannot compare"),
        ("brand=nobody", "leave no item"),
    ],
)
def test_what_cannot_be_used_is_said(allow, message):
    with pytest.raises(DataError, match=message):
        allowed_items(CATALOG, allow=[allow])

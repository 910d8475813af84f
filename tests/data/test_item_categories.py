import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.item_categories import category_field, read_categories


def catalog(**fields):
    size = len(next(iter(fields.values())))
    table = pa.table({"item_id": [str(i) for i in range(size)], "title": ["x"] * size, **fields})
    return Catalog(table, ("title",))


def of_items(categories):
    return [categories.names[number] if number >= 0 else None for number in categories.of_item]


def test_the_first_level_of_a_list():
    found = read_categories(catalog(categories=[["A", "a"], ["B"], [], None, ["A", "b"]]), "categories")
    assert of_items(found) == ["A", "B", None, None, "A"]
    assert (found.field, found.level) == ("categories", 1)


def test_a_level_that_nearly_all_share_is_passed_over():
    shop = [["Beauty", "Hair", "Brushes"], ["Beauty", "Skin"], ["Beauty"], ["Beauty", "Skin", "Oils"]]
    found = read_categories(catalog(categories=shop), "categories")
    assert of_items(found) == ["Hair", "Skin", "Beauty", "Skin"]
    assert found.level == 2


@pytest.mark.parametrize("texts", [["A > a", "B > b", "", None], ["A|a", " B | b", " ", None]])
def test_text_with_separators_is_a_hierarchy(texts):
    assert of_items(read_categories(catalog(genres=texts), "genres")) == ["A", "B", None, None]


def test_any_other_field_will_do():
    assert of_items(read_categories(catalog(brand=["Acme & Co", "Bolt", "Acme & Co"]), "brand")) == [
        "Acme & Co",
        "Bolt",
        "Acme & Co",
    ]
    assert of_items(read_categories(catalog(year=[1999, 2000, None]), "year")) == ["1999", "2000", None]


def test_where_all_items_agree_at_every_level_the_last_is_taken():
    assert read_categories(catalog(category=["A", "A"]), "category").names == ("A",)


def test_the_field_is_guessed_by_its_name():
    assert category_field(catalog(genre=["A"])) == "genre"
    assert category_field(catalog(brand=["A"])) is None
    assert category_field(catalog(categories=["", None], genre=["A", ""])) == "genre"
    assert category_field(catalog(categories=[[], None])) is None


def test_mistakes_are_reported():
    with pytest.raises(DataError, match=r"no field 'brnad'; it has item_id, title, brand\. Did you mean 'brand'\?"):
        read_categories(catalog(brand=["A"]), "brnad")
    with pytest.raises(DataError, match="'brand' is empty for all items; name another one with category=FIELD"):
        read_categories(catalog(brand=["", None]), "brand")

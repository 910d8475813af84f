import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.semantic_ids.quantizers.category_codes import CategoryCodes

PATHS = [
    ["Shop", "Pens", "Gel"],
    ["Shop", "Paper"],
    ["Shop", "Pens", "Ball"],
    ["Shop", "Paper", "Gel"],
    ["Shop", "Pens", "Gel"],
    None,
]


def catalog(paths=PATHS, name="categories") -> Catalog:
    return Catalog(pa.table({"item_id": [str(i) for i in range(len(paths))], name: pa.array(paths)}), ())


def test_codes_are_names_level_by_level_and_cells_are_paths():
    codes = CategoryCodes().fit(catalog())
    assert codes.kind == "tree"
    pens, paper = codes.values[0, 1], codes.values[1, 1]
    assert pens != paper
    assert codes.values[:, 1].tolist() == [pens, paper, pens, paper, pens, 0]
    assert codes.values[1, 2] == codes.values[5, 2] == 0
    assert codes.values[0, 2] == codes.values[3, 2], "the same name has the same code below another parent"
    assert codes.cells(2)[0] != codes.cells(2)[3], "and is another cell"
    assert codes.cells(2)[0] == codes.cells(2)[4]


def test_what_all_items_share_is_left_out():
    assert CategoryCodes().fit(catalog(PATHS[:5])).levels == 2
    assert CategoryCodes().fit(catalog([["Shop"]] * 3)).values.tolist() == [[1]] * 3


def test_texts_are_divided_and_levels_limited():
    texts = [" > ".join(path or ()) for path in PATHS]
    assert (CategoryCodes().fit(catalog(texts)).values == CategoryCodes().fit(catalog()).values).all()
    assert CategoryCodes(levels=2).fit(catalog()).levels == 2
    slashed = [text.replace(" > ", "/") for text in texts]
    assert CategoryCodes(separator="/").fit(catalog(slashed)).levels == 3


def test_items_of_one_path_get_a_token_more():
    identifiers = codes_as_tokens(CategoryCodes().fit(catalog()))
    assert identifiers.spelled(0)[:3] == identifiers.spelled(4)[:3]
    assert [len(identifiers.spelled(item)) for item in range(6)] == [4, 3, 3, 3, 4, 3]


def test_a_field_that_is_not_there_or_empty_is_a_users_mistake():
    with pytest.raises(DataError, match="no field 'categories'; it has item_id, category"):
        CategoryCodes().fit(catalog(name="category"))
    with pytest.raises(DataError, match="the field 'categories' is empty for all items"):
        CategoryCodes().fit(catalog([None, None, []]))

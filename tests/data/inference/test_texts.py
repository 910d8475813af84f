import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.data.inference.texts import text_columns
from lexirec.data.readers.duckdb_source import Workspace
from tests.data.inference.test_text_names import TITLES

COLOURS, THINGS = ("Red", "Blue", "Green", "Oak", "Tin"), ("pan", "lamp", "rug", "drum", "chair", "atlas")
THINGS_FOR_SALE = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
SIZE = len(THINGS_FOR_SALE)
BRANDS = [("Acme", "Bolt", "Hearth & Co")[n % 3] for n in range(SIZE)]
CATEGORIES = [("Kitchen", "Garden")[n % 2] for n in range(SIZE)]
WRITERS = [f"{letter}. Writer" for letter in "ABCDEFGHI"] * 3 + ["Z. Writer"] * 3
LONG = [
    f"The {name}, made by hand for all who like good things in their house and garden. No. {n}"
    for n, name in enumerate(THINGS_FOR_SALE)
]


@pytest.fixture
def found(tmp_path):
    """Return a function that writes columns of items, and returns our name -> column, and the remarks."""

    def infer(columns, item="item_id"):
        table = {"item_id": [f"i{n}" for n in range(SIZE)], **columns}
        with (tmp_path / "items.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([list(table), *zip(*table.values(), strict=True)])
        return read(tmp_path / "items.csv", item)

    return infer


def read(path, item="item_id"):
    with Workspace() as work:
        source = work.open(path)
        texts = text_columns(work, source, source.columns[item])
    return {ours: column.name for ours, column in texts.fields.items()}, "; ".join(texts.remarks)


@pytest.mark.parametrize("name", TITLES)
def test_a_title_is_not_dropped_where_brand_and_categories_are_recognised(found, name):
    fields, _ = found({"Publisher": BRANDS, "genres": CATEGORIES, name: THINGS_FOR_SALE, "Author": WRITERS})
    assert fields == {"title": name, "brand": "Author", "categories": "genres"}


@pytest.mark.parametrize("name", ["wording", "f1", "tên sản phẩm", "Bez", "model"])
def test_without_a_name_the_title_is_the_column_with_most_different_texts(found, name):
    fields, remarks = found({"brand": BRANDS, name: THINGS_FOR_SALE, "colour": CATEGORIES, "notes": LONG})
    assert fields == {"title": name, "brand": "brand"}
    assert f"column '{name}' is taken as the title: it holds the most different texts" in remarks
    assert "text columns left out: colour, notes; add them to text to use them" in remarks


def test_where_no_name_helps_at_all_lengths_and_repeats_do(found):
    fields, remarks = found({"f1": LONG, "f2": CATEGORIES, "f3": THINGS_FOR_SALE, "f4": BRANDS, "f5": range(SIZE)})
    assert fields == {"title": "f3", "brand": "f4", "categories": "f2", "description": "f1"}
    assert all(
        f"column '{name}' is taken as the field {ours} by its values" in remarks
        for ours, name in fields.items()
        if ours != "title"
    )


def test_of_several_names_the_one_with_most_texts_is_the_title(found):
    fields, remarks = found({"index_name": CATEGORIES, "album_name": BRANDS, "track_name": THINGS_FOR_SALE})
    assert fields == {"title": "track_name"}
    assert "left out: index_name, album_name" in remarks
    same = found({"original_title": THINGS_FOR_SALE, "title": [*THINGS_FOR_SALE[:-1], "Red pan"]})
    assert same[0] == {"title": "title"}


def test_a_name_alone_makes_no_title(found):
    fields, _ = found({"name": CATEGORIES, "wording": THINGS_FOR_SALE})
    assert fields == {"title": "wording"}


def test_short_descriptions_are_titles_where_there_is_no_other(found):
    assert found({"Description": THINGS_FOR_SALE, "Country": CATEGORIES})[0] == {"title": "Description"}
    fields, remarks = found({"description": LONG, "price": range(SIZE)})
    assert fields == {"description": "description"}
    assert "no column holds titles" in remarks


NO_TEXTS = {
    "codes": [f"SKU-{n:05d}" for n in range(SIZE)],
    "hashes": [f"{n * 7919:032x}" for n in range(SIZE)],
    "addresses": [f"https://shop/x/{n}" for n in range(SIZE)],
    "pictures": [f"images/Thing{n}.jpg" for n in range(SIZE)],
    "mail": [f"ann{n}@shop.com" for n in range(SIZE)],
    "dates": [f"2020-01-{n % 28 + 1:02d}" for n in range(SIZE)],
    "days": [f"Jan {n % 28 + 1}, 2020" for n in range(SIZE)],
    "sizes": [f"{n} ml" for n in range(SIZE)],
    "prices": [f"USD {n}.99" for n in range(SIZE)],
    "numbers": [str(n) for n in range(SIZE)],
    "truth": [("true", "false")[n % 2] for n in range(SIZE)],
    "objects": ["{'WiFi': True}"] * SIZE,
    "null words": ["nan"] * SIZE,
    "scripts": ["<script>var x = 1</script>"] * SIZE,
}


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_a_column_of_something_else_is_no_title(found, kind):
    fields, remarks = found({"title": NO_TEXTS[kind], "wording": THINGS_FOR_SALE})
    assert fields == {"title": "wording"}
    assert ("column 'title' is no title: it holds" in remarks) == (kind not in ("null words", "scripts"))
    with pytest.raises(
        DataError, match=r"items\.csv: no column holds texts \(item_id, title, price\); 'title' holds"
    ) as error:
        found({"title": NO_TEXTS[kind], "price": range(SIZE)})
    assert "\n" not in str(error.value)


def test_names_in_addresses_are_titles_where_nothing_else_is(found):
    fields, remarks = found(
        {"slug": [name.lower().replace(" ", "-") for name in THINGS_FOR_SALE], "price": range(SIZE)}
    )
    assert fields == {"title": "slug"}
    assert "no other column holds texts" in remarks


def test_ids_that_are_titles_are_both(found):
    fields, remarks = found({"name": THINGS_FOR_SALE, "genre": CATEGORIES}, item="name")
    assert fields == {"title": "name", "categories": "genre"}
    assert "column 'name' holds the ids and is taken as the title, too" in remarks


def test_lists_and_objects_are_texts_if_they_have_names(found):
    fields, remarks = found(
        {
            "title": THINGS_FOR_SALE,
            "genres": ["[{'id': 18, 'name': 'Drama'}]"] * SIZE,
            "cast": ["[{'person': 1, 'role': 2}]"] * SIZE,
            "keywords": ["['Iron', 'By hand']"] * SIZE,
        }
    )
    assert fields == {"title": "title", "categories": "genres"}
    assert "columns of lists or objects without names left out: cast" in remarks
    assert "text columns left out: keywords;" in remarks


def test_other_types_of_columns(tmp_path):
    table = {
        "item_id": range(3),
        "title": ["Red pan", "Blue pan", "Oak rug"],
        "features": [["iron", "heavy"], [], None],
        "maker": [{"name": "Acme"}, {"name": "Bolt"}, None],
        "born": pa.array([1, 2, 3], pa.timestamp("s")),
        "sold": [True, False, None],
        "picture": [b"x", b"y", b"z"],
    }
    pq.write_table(pa.table(table), tmp_path / "items.parquet")
    fields, remarks = read(tmp_path / "items.parquet")
    assert fields == {"title": "title", "brand": "maker", "description": "features"}
    assert remarks == ""


KNOWN = {
    "article_id,prod_name,product_type_name,product_group_name,colour_group_name,index_name,detail_desc": {
        "title": "prod_name",
        "categories": "product_type_name",
        "description": "detail_desc",
    },
    "anime_id,name,genre,type,episodes": {"title": "name", "categories": "genre"},
    "track_id,artists,album_name,track_name,track_genre": {
        "title": "track_name",
        "brand": "artists",
        "categories": "track_genre",
    },
    "id,title,original_title,tagline,overview,genres,production_companies": {
        "title": "title",
        "categories": "genres",
        "description": "overview",
    },
    "business_id,name,address,city,state,categories": {"title": "name", "categories": "categories"},
    "news_id,category,subcategory,title,abstract": {
        "title": "title",
        "categories": "category",
        "description": "abstract",
    },
    "parent_asin,title,store,main_category,categories,description": {
        "title": "title",
        "brand": "store",
        "categories": "categories",
        "description": "description",
    },
}
"""Columns of well-known tables of items -> our names of them."""


@pytest.mark.parametrize("header", KNOWN, ids=lambda header: header.split(",")[0])
def test_well_known_tables(tmp_path, header):
    names = header.split(",")
    few = {"album_name", "index_name"}
    varied = set(KNOWN[header].values()) | {"original_title", "tagline"}
    with (tmp_path / "items.csv").open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(names)
        for n in range(SIZE):
            title = THINGS_FOR_SALE[n]
            kinds = {"episodes": n, names[0]: f"x{n}", **dict.fromkeys(few, BRANDS[n])}
            rows.writerow([kinds.get(name, title if name in varied else CATEGORIES[n]) for name in names])
    assert read(tmp_path / "items.csv", names[0])[0] == KNOWN[header]

import csv
import io
import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.text_format import NULL_WORDS, TextFormat
from lexirec.data.readers.text_values import missing
from lexirec.models.recommend import allowed_items


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
    assert is_missing("a.b", ("a.b", "[", "\\"))
    assert not is_missing("axb", ("a.b", "[", "\\"))


@pytest.fixture
def items(tmp_path):
    """Return a function that writes columns of items as a CSV file and reads them."""

    def read(text=("title",), *, format=None, on_bad_row="error", **columns):
        size = len(next(iter(columns.values())))
        columns = {"item_id": [f"i{n}" for n in range(size)], **columns}
        out = io.StringIO()
        csv.writer(out).writerows([list(columns), *zip(*columns.values(), strict=True)])
        (tmp_path / "items.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
        return Catalog.read(tmp_path / "items.csv", text=list(text), format=format, on_bad_row=on_bad_row)

    return read


def values(catalog, field):
    return catalog.table.column(field).to_pylist()


# ------------------------------------------------------------------------------------------------- structured values


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["['Books', 'Fiction']", "['Books']", "[]"], [["Books", "Fiction"], ["Books"], []]),
        (["[{'id': 18, 'name': 'Drama'}]", "[{'id': 35, 'name': 'Comedy'}]", ""], [["Drama"], ["Comedy"], None]),
        (['[["Books", "Fiction"], ["Home"]]', '[["Books"]]', "nan"], [["Books", "Fiction", "Home"], ["Books"], None]),
        (["{'name': 'Acme', 'id': 1}", "{'name': 'Bolt'}", "{}"], [["Acme"], ["Bolt"], []]),
        (["['a' 'b']", "('a', 'c')", "Plain"], [["a", "b"], ["a", "c"], ["Plain"]]),
        (['["A >> B >> C"]', '["A >> B"]', '["A"]'], [["A", "B", "C"], ["A", "B"], ["A"]]),
        (["Drama|Crime", "Drama", "Sci-Fi | Crime"], [["Drama", "Crime"], ["Drama"], ["Sci-Fi", "Crime"]]),
        (["A > B > C", "A > D", ""], [["A", "B", "C"], ["A", "D"], None]),
        (["Action;Indie", "Indie", "n/a"], [["Action", "Indie"], ["Indie"], None]),
        (["Home > Pans|Home > Pots", "Home", "x"], [["Home", "Pans", "Pots"], ["Home"], ["x"]]),
    ],
)
@pytest.mark.parametrize("text", [("title",), ("title", "categories")])
def test_categories_become_lists(items, given, names, text):
    catalog = items(text, title=["Red river", "Blue moon", "Mile"], categories=given)
    assert values(catalog, "categories") == names
    if "categories" in text:
        assert catalog.texts()[0] == f"title: Red river; categories: {', '.join(names[0])}"
    assert allowed_items(catalog, [f"categories={names[0][-1]}"]).tolist()[0]


@pytest.mark.parametrize(
    "given",
    [
        ["[REC]", "Up", "Heat"],
        ["(500) Days of Summer", "{Proof}", "Up"],
        ["Pan | Shop", "Pot | Shop", "Mug | Shop"],
        ["Fish; a tale", "War > Peace", "a|b"],
    ],
)
@pytest.mark.parametrize("name", ["title", "wording"])
def test_titles_stay_texts(items, given, name):
    catalog = items((name,), **{name: given})
    assert values(catalog, name) == given


def test_names_that_recur_are_lists_under_any_name(items):
    catalog = items(
        title=["a", "b", "c", "d"], cast=["Ann|Bob", "Bob|Cid", "Ann|Cid", "Ann"], price=["1|2", "3", "4", "5"]
    )
    assert values(catalog, "cast") == [["Ann", "Bob"], ["Bob", "Cid"], ["Ann", "Cid"], ["Ann"]]
    assert values(catalog, "price") == ["1|2", "3", "4", "5"]


def test_signs_of_html_join_no_names(items):
    titles, given = ["a", "b", "c"], ["Tom &amp; Jerry|Cats", "Cats", "Tom &amp; Jerry"]
    assert values(items(title=titles, genres=given), "genres") == [
        ["Tom &amp; Jerry", "Cats"],
        ["Cats"],
        ["Tom &amp; Jerry"],
    ]
    read = items(("title", "genres"), title=titles, genres=given)
    assert values(read, "genres") == [["Tom & Jerry", "Cats"], ["Cats"], ["Tom & Jerry"]]
    assert values(items(title=titles, genres=["R&amp;B", "<b>Pop</b>", "Rock"]), "genres") == [
        "R&amp;B",
        "<b>Pop</b>",
        "Rock",
    ]


def test_objects_without_names_are_kept_for_filters_and_give_texts_their_words(items):
    given = ["{'WiFi': 'free', 'id': 3}", "{'WiFi': 'paid', 'id': 4}"]
    assert values(items(title=["a", "b"], facts=given), "facts") == given
    assert values(items(("title", "facts"), title=["a", "b"], facts=given), "facts") == [["free"], ["paid"]]


ROWS = [
    {
        "item_id": "a",
        "title": "Red",
        "categories": [["Books", "Fiction"], ["Home"]],
        "brand": {"id": 1, "name": "Acme"},
    },
    {"item_id": "b", "title": "Blue", "categories": [["Books"]], "brand": {"id": 2, "name": "Bolt"}},
    {"item_id": "c", "title": "Oak", "categories": None, "brand": None},
]


@pytest.mark.parametrize("name", ["items.parquet", "items.jsonl"])
def test_columns_of_lists_and_objects(tmp_path, name):
    rows = [{**row, "authors": [{"name": "Ann", "born": 1900}, {"name": "Bob", "born": None}]} for row in ROWS]
    if name == "items.jsonl":
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    catalog = Catalog.read(tmp_path / name, text=["title", "brand", "categories", "authors"])
    assert catalog.texts() == [
        "title: Red; brand: Acme; categories: Books, Fiction, Home; authors: Ann, Bob",
        "title: Blue; brand: Bolt; categories: Books; authors: Ann, Bob",
        "title: Oak; authors: Ann, Bob",
    ]


def test_maps_and_lists_of_numbers(tmp_path):
    table = pa.table(
        {
            "item_id": ["a", "b"],
            "title": ["Red", "Blue"],
            "facts": pa.array([[("name", "Acme")], [("colour", "red")]], pa.map_(pa.string(), pa.string())),
            "tags": pa.array([[1, 2], [3]], pa.list_(pa.int64())),
        }
    )
    pq.write_table(table, tmp_path / "items.parquet")
    catalog = Catalog.read(tmp_path / "items.parquet", text=["title", "facts", "tags"])
    assert catalog.texts() == ["title: Red; facts: Acme; tags: 1, 2", "title: Blue; facts: red; tags: 3"]


names = st.lists(st.text("abcdeäöß漢'\"é", min_size=1, max_size=8), max_size=4)


@given(st.lists(names, min_size=3, max_size=12), st.sampled_from([repr, json.dumps, lambda each: repr(tuple(each))]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_written_as_text_are_read_back(items, lists, form):
    catalog = items(("title", "tags"), title=["x"] * len(lists), tags=[form(each) for each in lists])
    kept = [[name for name in dict.fromkeys(each) if name not in NULL_WORDS] for each in lists]
    assert values(catalog, "tags") == kept


# ------------------------------------------------------------------------------------------------ pages and null words


def test_html_is_taken_out_of_texts_and_nothing_else(items):
    catalog = items(
        ("title", "features"),
        title=["<p>red&nbsp;<b>pan</b></p><br/>&amp;", "std::vector<int> &amp; x", "I <3 you"],
        features=["['<b>Iron</b>', 'Hot &amp; cold', '&nbsp;']", "[]", "['a < b']"],
        link=["<a>x&amp;y</a>", "z", "&nbsp;"],
    )
    assert values(catalog, "title") == ["red pan &", "std::vector<int> & x", "I <3 you"]
    assert values(catalog, "features") == [["Iron", "Hot & cold"], [], ["a < b"]]
    assert values(catalog, "link") == ["<a>x&amp;y</a>", "z", "&nbsp;"]


def test_a_script_is_no_title(items):
    titles = ["Mug", "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();", "<br>"]
    with pytest.raises(DataError, match=r"row 2, column 'title': empty text of item 'i1'.* 2 rows are bad"):
        items(title=titles)
    assert items(title=titles, on_bad_row="reject").item_ids == ["i0"]


def test_null_words_are_no_texts(items):
    with pytest.raises(DataError, match=r"row 1, column 'title': empty text of item 'i0'.* 4 rows are bad"):
        items(title=["nan", "NaN", "None", "null"])
    catalog = items(
        ("title", "brand"), title=["A", "B", "C", "N/A"], brand=["-", "NULL", "Acme", "Nan"], size=["?", "S", "M", "NA"]
    )
    assert catalog.texts() == ["title: A", "title: B", "title: C; brand: Acme", "brand: Nan"]
    assert values(catalog, "size") == [None, "S", "M", None]
    assert allowed_items(catalog, ["size!=S"]).tolist() == [True, False, True, True]


def test_na_is_no_missing_value_among_codes_of_countries(items):
    catalog = items(
        title=["A", "B", "C", "NA"],
        country=["NA", "AT", "DE", "null"],
        size=["NA", "S", "M", "XL"],
        on_bad_row="reject",
    )
    assert values(catalog, "country") == ["NA", "AT", "DE"]
    assert values(catalog, "size") == [None, "S", "M"]
    assert catalog.item_ids == ["i0", "i1", "i2"], "nor is it a title"


def test_null_words_are_no_ids(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,x\nnan,y\nNone,z\n")
    with pytest.raises(DataError, match=r"row 2, column 'item_id': empty item id 'nan'.* 2 rows are bad"):
        Catalog.read(tmp_path / "items.csv", text=["title"])
    every = Catalog.read(tmp_path / "items.csv", text=["title"], format=TextFormat(null_words=()))
    assert every.item_ids == ["a", "nan", "None"]


def test_null_words_can_be_kept_or_named(items):
    titles = ["None", "null", "missing"]
    assert items(title=titles, format=TextFormat(null_words=())).texts() == [f"title: {each}" for each in titles]
    few = items(title=titles, format=TextFormat(null_words=("missing",)), on_bad_row="reject")
    assert few.item_ids == ["i0", "i1"]

import json
import time
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.item_filters import Filter, allowed_items, matches, parse_filter, select_items

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


def one_field(values: object, name: str = "price", kind: pa.DataType | None = None) -> Catalog:
    """Return a catalogue with one field besides ids and titles; items are named a, b, c …"""
    column = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, kind)
    ids = [chr(ord("a") + row) for row in range(len(column))]
    return Catalog(pa.table({"item_id": ids, "title": ids, name: column}), ("title",))


def allowed(catalog: Catalog, text: str) -> str:
    """Return the ids of the items that a filter allows."""
    return left(catalog, allow=[text])


def passed(catalog: Catalog, text: str) -> str:
    """Return the ids of the items that a filter does not deny."""
    return left(catalog, deny=[text])


def left(catalog: Catalog, **filters: list[str]) -> str:
    mask = select_items(catalog, **filters).mask
    return "".join(np.array(catalog.item_ids)[mask])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("brand=Acme", "ab"),
        ("brand == Acme", "ab"),
        ("brand = ACME", "ab"),
        ("brand='Acme'", "ab"),
        ("brand!=acme", "cd"),
        ('brand=""', "d"),
        ('brand!=""', "abc"),
        ("title~oak", "ac"),
        ('title~"k c"', "a"),
        ('title~" c"', "a"),
        ("categories=lamps", "b"),
        ("categories~am", "b"),
        ("categories=home", "ab"),
        ("categories!=home", "cd"),
        ("categories=''", "cd"),
        ("price<20", "a"),
        ("price<=20", "ab"),
        ("price>20", "d"),
        ("price>=20", "bd"),
        ("price=40", "d"),
        ("price!=40", "abc"),
        ('price>"12,50"', "bd"),
        ("price>$15", "bd"),
        ('price=""', "c"),
        ("year>2019", "bc"),
        ("year=2020.0", "b"),
        ("item_id!=a", "bcd"),
    ],
)
def test_a_filter_finds_its_items(text, expected):
    assert "".join(np.array(list("abcd"))[matches(CATALOG, text)]) == expected


def test_numbers_of_a_csv_are_compared_as_numbers(tmp_path):
    (tmp_path / "items.csv").write_text('item_id,title,price\na,x,9.99\nb,x,"1,299.00"\nc,x,\nd,x, 120 \ne,x,5\n')
    catalog = Catalog.read(tmp_path / "items.csv", text=["title"])
    assert matches(catalog, "price<20").tolist() == [True, False, False, False, True]
    assert matches(catalog, "price>=9.99").tolist() == [True, True, False, True, False]
    with pytest.raises(DataError, match="the field holds text"):
        matches(catalog, "title<20")


def test_filters_add_up():
    mask = allowed_items(CATALOG, allow=["price>=10", "title~a"], deny=["brand=other", "price=20"])
    assert mask is not None
    assert mask.tolist() == [True, False, False, False]
    assert allowed_items(CATALOG) is None


# ------------------------------------------------------------------------------------------------ what cannot be read


def test_prices_and_dates_in_text_as_people_write_them(tmp_path):
    rows = [
        {
            "item_id": "a0",
            "title": "Red",
            "price": "12,50",
            "date": "2024-05-01",
            "cur": "$12.99",
            "brand": "Hearth & Co",
        },
        {"item_id": "a1", "title": "Blue", "price": "7,00", "date": "2023-05-01", "cur": "$7", "brand": "hearth & co "},
        {"item_id": "a2", "title": "Grün", "price": "1.299,00", "date": "", "cur": "free", "brand": "HEARTH  & CO"},
        {"item_id": "a3", "title": "x=y", "price": "20", "date": "01/02/2024", "cur": "1,000", "brand": "Straße"},
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    catalog = Catalog.read(tmp_path / "items.jsonl", text=["title"])
    assert passed(catalog, "price>10") == "a1"
    assert allowed(catalog, "price>10") == "a0a2a3"
    assert passed(catalog, 'price>="12,50"') == "a1"
    assert passed(catalog, "price==12.5") == "a1a2a3"
    assert allowed(catalog, "cur>10") == "a0a3"
    assert passed(catalog, "cur>10") == "a1"
    assert passed(catalog, "cur>=1000") == "a0a1"
    assert allowed(catalog, "date>2024-01-01") == "a0"
    assert passed(catalog, "date>2024-01-01") == "a1a2"
    assert passed(catalog, "brand=hearth & co") == "a3"
    assert allowed(catalog, "brand=STRASSE") == "a3"
    assert allowed(catalog, "title=x=y") == "a3"
    assert allowed(catalog, "title=GRÜN") == "a2"


def test_unreadable_values_pass_neither_way_and_are_counted():
    catalog = one_field(["12.50", "call us", "$10 - $20", "9", "call us", None])
    assert allowed(catalog, "price<10") == "d"
    assert passed(catalog, "price>10") == "df"
    remark = "3 of 6 items have a 'price' that is no number, such as 'call us'; they are left out"
    assert remark in select_items(catalog, allow=["price<10"]).remarks[0]
    (line,) = select_items(catalog, deny=["price>10"]).remarks
    assert line.startswith(f"deny 'price>10': {remark}")
    assert "1 of 6 items have no 'price' and are not denied; to leave them out, deny 'price=\"\"', too" in line
    assert passed(catalog, "price>10") == "df"
    assert left(catalog, deny=["price>10", 'price=""']) == "d"
    assert select_items(catalog, allow=["price=9"]).remarks == ()
    assert select_items(catalog, deny=["title=a"]).remarks == ()


def test_values_with_two_readings_pass_neither_way():
    catalog = one_field(["1,234", "5", "2,345"])
    assert allowed(catalog, "price>3") == "b"
    assert passed(catalog, "price>100") == "b"
    assert allowed(catalog, "price=5") == "b"
    assert passed(catalog, "price=1234") == "bc"  # 2,345 is neither way 1234
    assert passed(catalog, "price=1.234") == "bc"
    assert passed(catalog, "price=1,234") == "bc"  # the same text
    assert allowed(one_field(["1234", "1.234", "1,234"]), "price=1,234") == "c"
    assert passed(one_field(["1234", "1.234", "1,234", "5"]), "price=1,234") == "d"
    (line,) = select_items(catalog, allow=["price>3"]).remarks
    assert "2 of 3 items have a 'price' that is no number, such as '1,234' (read as 1234 or 1.234)" in line


def test_missing_values_match_only_the_filters_for_them():
    for column in ([1.0, None, float("nan")], ["1", None, "  "], [["1"], None, []]):
        catalog = one_field(column)
        assert allowed(catalog, "price>=1") == "a"
        assert passed(catalog, "price>=1") == "bc"
        assert allowed(catalog, 'price=""') == passed(catalog, 'price!=""') == "bc"
        assert allowed(catalog, "price!=1") == "bc"
        assert "2 of 3 items have no 'price'" in select_items(catalog, deny=["price>=1"]).remarks[0]


def test_lists_match_by_any_of_their_values():
    for column in (
        pa.array([["5", "100"], ["7,5"], ["on request"], ["on request", "100"]]),
        pa.array([["5", "100"], ["7,5"], ["on request"], ["on request", "100"]], pa.large_list(pa.large_string())),
        pa.array([["5", "100"], ["7,5", None], ["on request"] * 2, ["on request", "100"]]),
    ):
        catalog = one_field(column)
        assert allowed(catalog, "price>50") == "ad"
        assert passed(catalog, "price>50") == "b"
        assert allowed(catalog, "price<50") == "ab"
    pairs = one_field(pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)))
    assert allowed(pairs, "price>=4") == "b"
    assert allowed(one_field([[["x"], ["y"]], [["z"]]]), "price=y") == "a"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int8(), [1, 2, None]),
        (pa.uint64(), [1, 2**64 - 1, None]),
        (pa.float32(), [1, 2, float("nan")]),
        (pa.float16(), np.array([1, 2, np.nan], dtype=np.float16)),
        (pa.decimal128(9, 2), [1, 2, None]),
        (pa.string(), ["1", "2", ""]),
        (pa.large_string(), ["1", "2", None]),
        (pa.string_view(), ["1", "2", None]),
        (pa.dictionary(pa.int32(), pa.string()), ["1", "2", None]),
        (pa.dictionary(pa.int8(), pa.int64()), [1, 2, None]),
    ],
)
def test_numbers_of_any_type_are_compared(kind, values):
    catalog = one_field(pa.array(values, kind))
    assert allowed(catalog, "price>1") == "b"
    assert allowed(catalog, "price=1") == "a"
    assert passed(catalog, "price>1") == "ac"


def test_long_whole_numbers_are_compared_to_the_last_digit():
    number = 2**53 + 1
    assert allowed(one_field([number, number + 1]), f"price={number}") == "a"
    assert allowed(one_field([number, number + 1]), f"price>{number}") == "b"
    assert allowed(one_field([str(number), str(number + 1)]), f"price={number}") == "a"
    assert allowed(one_field([1, 2]), f"price<{2**70}") == "ab"


def test_codes_are_texts():
    assert allowed(one_field(["007", "7", "07"], "zip"), "zip=7") == "b"
    assert allowed(one_field(["007", "7", "07"], "zip"), "zip=007") == "a"
    ids = Catalog(pa.table({"item_id": ["7", "7.0"], "title": ["x", "y"]}), ("title",))
    assert select_items(ids, deny=["item_id=7"]).mask.tolist() == [False, True]


def test_dates_are_compared_as_instants():
    texts = ["2024-05-01", "2023-12-31", "2024-01-01T00:30:00+02:00", "2024-01-01 10:00", None, "soon"]
    catalog = one_field(texts, "date")
    assert allowed(catalog, "date>2024-01-01") == "ad"
    assert passed(catalog, "date>2024-01-01") == "bce"
    assert allowed(catalog, "date>=2024-01-01T10:00:00Z") == "ad"
    assert allowed(catalog, "date=2023-12-31T22:30:00Z") == "c"
    assert (
        "1 of 6 items have a 'date' that is no date, such as 'soon'"
        in select_items(catalog, deny=["date>2024-01-01"]).remarks[0]
    )


@pytest.mark.parametrize(
    "kind",
    [
        pa.date32(),
        pa.date64(),
        *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
        pa.timestamp("us", "Europe/Berlin"),
    ],
)
def test_date_columns_of_any_type_are_compared(kind):
    days = [date(2023, 5, 1), date(2024, 5, 1), None]
    values = days if pa.types.is_date(kind) else [None if day is None else datetime(day.year, 5, 1, 12) for day in days]
    catalog = one_field(pa.array(values, kind), "date")
    assert allowed(catalog, "date>2024-01-01") == "b"
    assert passed(catalog, "date>2024-01-01") == "ac"
    assert allowed(catalog, "date~2024-05") == "b"
    assert allowed(catalog, "date<2023-05-01T23:00Z") == "a"
    with pytest.raises(DataError, match="the field holds dates, but 'x' is no date such as"):
        matches(catalog, "date>x")


# -------------------------------------------------------------------------------------------------------- the language


@pytest.mark.parametrize(
    ("text", "field", "operator", "value"),
    [
        ("price<10", "price", "<", "10"),
        (" price  <=  10 ", "price", "<=", "10"),
        ("a b>c d", "a b", ">", "c d"),
        ("price==3", "price", "=", "3"),
        ("title=x=y", "title", "=", "x=y"),
        ("title=a<b", "title", "=", "a<b"),
        ('title=" x "', "title", "=", " x "),
        ("title='it''s'", "title", "=", "it's"),
        ('title="5"" nail"', "title", "=", '5" nail'),
        ('title=5" nail', "title", "=", '5" nail'),
        ('"a=b">=3', "a=b", ">=", "3"),
        ("'wow!' ~ x", "wow!", "~", "x"),
        ('"say ""hi"""=1', 'say "hi"', "=", "1"),
        ("price=-5", "price", "=", "-5"),
        ('title="=x"', "title", "=", "=x"),
        ("price (EUR)>5", "price (EUR)", ">", "5"),
        ("größe>5", "größe", ">", "5"),
        ('x=""', "x", "=", ""),
    ],
)
def test_a_filter_is_taken_apart(text, field, operator, value):
    assert parse_filter(text) == Filter(text, field, operator, value)


def test_known_names_with_signs_need_no_quotes():
    fields = ["a=b", "wow!", "a", '"quoted"', "<tag>"]
    assert parse_filter("wow!=x", fields).field == "wow!"
    assert parse_filter("<tag>=x", fields).field == "<tag>"
    assert parse_filter('"quoted"=x', fields).field == '"quoted"'
    assert parse_filter("a=b=c", fields) == Filter("a=b=c", "a", "=", "b=c")
    assert parse_filter('"a=b"=c', fields).field == "a=b"


FIELDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8)


@given(FIELDS, st.sampled_from(["=", "!=", "~", "<", "<=", ">", ">="]), st.text(min_size=1, max_size=8))
def test_anything_in_quotes_comes_back(field, operator, value):
    text = '"' + field.replace('"', '""') + f'" {operator} ' + "'" + value.replace("'", "''") + "'"
    parsed = parse_filter(text)
    assert (parsed.field, parsed.operator, parsed.value) == (field, operator, value)


@pytest.mark.parametrize(
    ("allow", "message"),
    [
        ("brnd=x", r"filter 'brnd=x': items have no field 'brnd'; .*Did you mean 'brand'"),
        ("oak", "filter 'oak' cannot be parsed; write field=value"),
        ("=oak", "filter '=oak' cannot be parsed; write field=value"),
        ("", "filter '' cannot be parsed"),
        ("price<", "the value is missing"),
        ("price=>10", "there is no operator =>"),
        ("price<>10", "there is no operator <>"),
        ("price=~10", "there is no operator =~"),
        ("price===10", "there is no operator =="),
        ("title='oak", "the quote that begins the value does not end it"),
        ("title='oak' x", "the quote that begins the value does not end it"),
        ("price<cheap", "the field holds numbers, but 'cheap' is not a number"),
        ("price>2024-01-01", "'2024-01-01' is a date, but the field holds numbers"),
        ("price<1,500", "'1,500' can be read in two ways; write 1500, or 1.500 for the smaller number"),
        ('price<""', "the field holds numbers, but '' is not a number"),
        ("price~3", "the field holds numbers"),
        ("title<z", "the field holds text, which < cannot compare"),
        ("title>2024-01-01", "'2024-01-01' is a date, but no item has a date there, such as 'Oak chair'"),
        ('title~""', "~ needs a text to look for"),
        ("brand=nobody", "leave no item"),
        ("brand=\udcff", r"filter 'brand=\\udcff' holds bytes that are no UTF-8 text"),
    ],
)
def test_what_cannot_be_used_is_said(allow, message):
    with pytest.raises(DataError, match=message) as caught:
        allowed_items(CATALOG, allow=[allow])
    assert "\n" not in str(caught.value)


def test_the_column_says_how_a_filters_number_is_read():
    german, english = one_field(["1.299,00", "7,50", "1,5"]), one_field(["1,299.00", "7.50", "1.5"])
    assert allowed(german, "price=7.5") == allowed(german, "price=7,5") == "b"
    assert allowed(german, "price<1,600") == "c"
    assert allowed(english, "price<1.600") == "c"
    assert allowed(english, "price<1,299.01") == "abc"
    assert allowed(english, "price>=1,299") == "a"
    with pytest.raises(
        DataError, match=r"'1\.600' can be read in two ways; write 1600, or 1,600 for the smaller number"
    ):
        matches(german, "price<1.600")
    with pytest.raises(DataError, match="'soon' is neither a number nor a date"):
        matches(german, "price<soon")


def test_what_holds_no_comparable_values_is_said():
    for column in (pa.array([{"x": 1}, {"x": 2}]), pa.array([b"\xff", b"a"])):
        with pytest.raises(DataError, match=r"filter 'price=1': the field holds values of type .* cannot compare"):
            matches(one_field(column), "price=1")


def test_filters_are_given_as_a_list():
    for given_filters in ("brand=Acme", 3, None, {"brand": "Acme"}):
        with pytest.raises(DataError, match=r"deny is .*; pass a list of filters, such as deny=\[\"brand=Acme\"\]"):
            select_items(CATALOG, deny=given_filters)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a filter is a text such as 'brand=Acme', but one is of type int"):
        select_items(CATALOG, allow=[3])  # type: ignore[list-item]


def test_control_characters_of_files_and_filters_are_spelled_out():
    evil = "\x1b[31mfree\u202e\n" + "x" * 200
    catalog = one_field([evil, "5"])
    (line,) = select_items(catalog, deny=["price>10"]).remarks
    assert line.isprintable()
    assert r"'\x1b[31mfree\u202e\nxxx" in line
    assert len(line) < 300
    for text in (f"{evil}=1", f"price>{evil}", evil):
        with pytest.raises(DataError) as caught:
            select_items(catalog, deny=[text])
        assert str(caught.value).isprintable()


WORDS = st.sampled_from(
    ["price", "title", "tags", "=", "==", "!=", "~", "<", ">=", '"', "'", " ", "12,50", "1.234", "$", ""]
)
CELLS = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["12,50", "1.234", "$5", "2024-01-01", "nan", "-"]))


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(st.text(max_size=12), st.lists(WORDS, max_size=6).map("".join)), st.lists(CELLS, min_size=1, max_size=5)
)
def test_any_text_is_a_filter_or_one_line(text, cells):
    cells = [None if cell is None else cell.encode("utf-8", "ignore").decode() for cell in cells]
    tags = pa.array([[cell, None] for cell in cells], pa.list_(pa.string()))
    ids = list(map(str, range(len(cells))))
    catalog = Catalog(pa.table({"item_id": ids, "price": cells, "title": ids, "tags": tags}), ("title",))
    for filters in ({"allow": [text]}, {"deny": [text]}):
        try:
            found = select_items(catalog, **filters)
        except DataError as error:
            lines = [str(error)]
        else:
            lines = list(found.remarks)
        assert all(line.isprintable() for line in lines)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.integers(0, 10**6), st.none()), min_size=2, max_size=12), st.integers(0, 10**6), st.data())
def test_no_price_beyond_the_limit_ever_passes(cents, limit, data):
    """Whatever conventions a column mixes: what passes is known to be within the limit, or has no price."""
    ways = [
        lambda value: f"{value / 100:.2f}",
        lambda value: f"{value / 100:.2f}".replace(".", ","),
        lambda value: f"${value / 100:,.2f}",
        lambda value: f"{value / 100:,.2f} €".translate(str.maketrans(",.", ".,")),
        lambda value: "on request",
        lambda value: f"{value / 100:.2f} - {value / 50:.2f}",
    ]
    cells = [None if each is None else data.draw(st.sampled_from(ways))(each) for each in cents]
    catalog = one_field(pa.array(cells, pa.string()))
    for filters in ({"allow": [f"price<={limit / 100}"]}, {"deny": [f"price>{limit / 100}"]}):
        try:
            found = select_items(catalog, **filters)
        except DataError:
            continue
        wrong = [
            cell for cell, each, kept in zip(cells, cents, found.mask, strict=True) if kept and (each or 0) > limit
        ]
        assert not wrong
        left_out = [cell for cell, kept in zip(cells, found.mask, strict=True) if not kept and cell and "r" in cell]
        assert not left_out or "that is no number" in found.remarks[0]


def test_columns_are_read_once_and_fast():
    values = np.random.default_rng(0).integers(100, 10_000_000, 200_000) / 100
    catalog = Catalog(
        pa.table({"item_id": np.arange(len(values)).astype(str), "price": [f"${v:,.2f}" for v in values]}), ("price",)
    )
    assert select_items(catalog, deny=["price>500"]).mask.tolist() == (values <= 500).tolist()
    begin = time.process_time()
    assert select_items(catalog, allow=["price<=500"]).mask.tolist() == (values <= 500).tolist()
    assert time.process_time() - begin < 0.5

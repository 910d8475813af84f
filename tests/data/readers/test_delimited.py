from __future__ import annotations

import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.readers.text_format import TextFormat

ROWS = [("a0", "Red river", "Acme"), ("a1", "Blue moon", "Borel")]
PLAIN = "item_id,title,brand\na0,Red river,Acme\na1,Blue moon,Borel\n"


def rows(tmp_path, text, name="t.csv", **format):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    names = {} if format.get("header", True) else {"item_id": "column1", "title": "column2", "brand": "column3"}
    catalog = Catalog.read(tmp_path / name, text=["title"], columns=names, format=TextFormat(**format))
    assert catalog.table.column_names == ["item_id", "title", "brand"]
    return list(zip(*catalog.table.to_pydict().values(), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "sep=,\n" + PLAIN,
        'sep=";"\n' + PLAIN.replace(",", ";"),
        "sep=\t\n" + PLAIN.replace(",", "\t"),
        "# exported 2024\n" + PLAIN,
        "# exported, by hand\n#\n\n" + PLAIN,
        "\n\n" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.removesuffix("\n"),
        PLAIN.replace("\n", ",\n"),
        ",item_id,title,brand\n0,a0,Red river,Acme\n1,a1,Blue moon,Borel\n",
        '"","item_id","title","brand"\n"1","a0","Red river","Acme"\n"2","a1","Blue moon","Borel"\n',
        PLAIN.replace(",", ", "),
        PLAIN.replace(",", " , "),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", "::"),
        PLAIN.replace(",", "\t"),
        '"item_id";"title";"brand"\n"a0";"Red river";"Acme"\n"a1";"Blue moon";"Borel"\n',
        ' item_id, title, brand\n a0, "Red river", Acme\n a1, "Blue moon", "Borel"\n',
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_the_same_table_in_many_layouts(tmp_path, text, name):
    assert rows(tmp_path, text, name) == ROWS


def test_blanks_after_delimiters_do_not_break_quoted_fields(tmp_path):
    text = 'item_id, title, brand\na0, "Red, river", Acme\na1, "Blue ""moon""", Borel\n'
    assert [row[1] for row in rows(tmp_path, text)] == ["Red, river", 'Blue "moon"']


def test_a_header_that_begins_with_a_hash_is_a_header(tmp_path):
    (tmp_path / "t.csv").write_text("#item_id,title\na0,Red river\n")
    assert Catalog.read(tmp_path / "t.csv", text=["title"], columns={"item_id": "#item_id"}).item_ids == ["a0"]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (['"We will win" says coach', 'The "best" city'], ['"We will win" says coach', 'The "best" city']),
        (['"We will win', 'x"'], ['"We will win', 'x"']),
        (['5" pipe', 'pipe 6"'], ['5" pipe', 'pipe 6"']),
        (['"tab\there"', "plain"], ["tab here", "plain"]),
        (['"He said ""no"""', "plain"], ['He said "no"', "plain"]),
        (['"two\nlines"', "plain"], ["two lines", "plain"]),
    ],
)
def test_quotes_in_text_separated_by_tabs_are_text_unless_all_are_marks(tmp_path, texts, wanted):
    lines = [f"{n}\t{text}\tAcme" for n, text in enumerate(texts)]
    (tmp_path / "t.tsv").write_text("\n".join(["item_id\ttitle\tbrand", *lines]) + "\n")
    assert Catalog.read(tmp_path / "t.tsv", text=["title"]).field("title") == wanted


def test_settings_win_over_what_the_file_looks_like(tmp_path):
    bare = "a0;Red river;Acme\na1;Blue moon;Borel\n"
    assert rows(tmp_path, bare, header=False, delimiter=";") == ROWS
    assert rows(tmp_path, bare.replace(";", "\t"), "t.tsv", header=False) == ROWS
    assert rows(tmp_path, PLAIN.replace("Red river", "'Red, river'"), quote="'")[0][1] == "Red, river"
    escaped = PLAIN.replace("Red river", '"Red \\"r\\", iver"')
    assert rows(tmp_path, escaped, escape="\\")[0][1] == 'Red "r", iver'
    assert rows(tmp_path, PLAIN.replace("Red river", '"Red" river'), quote="")[0][1] == '"Red" river'


def test_columns_that_differ_only_in_case_are_told_apart(tmp_path):
    (tmp_path / "t.csv").write_text("item_id,Title,title\na0,1,Red river\n")
    catalog = Catalog.read(tmp_path / "t.csv", text=["title"])
    assert catalog.table.to_pylist() == [{"item_id": "a0", "title": "Red river", "Title_2": "1"}]


def test_no_row_and_only_comments_are_refused(tmp_path):
    for text, message in [("item_id,title\n\n\n", "no row below the header"), ("# a\n# b\n", "only comments")]:
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            Catalog.read(tmp_path / "t.csv", text=["title"])


def test_a_file_without_a_header_says_which_setting_reads_it(tmp_path):
    (tmp_path / "t.csv").write_text("a0,https://example.com/a0,Red river\na1,https://example.com/a1,Blue moon\n")
    with pytest.raises(DataError, match="If its first line is data, set header = false"):
        Catalog.read(tmp_path / "t.csv", text=["title"])


def test_lines_are_counted_from_the_start_of_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("# exported\nsep=,\nitem_id,title\na0,Red river\na1\n")
    with pytest.raises(DataError, match="line 5: too few fields"):
        Catalog.read(tmp_path / "t.csv", text=["title"])

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.codes.published import read_published
from lexirec.data.catalog import Catalog
from lexirec.errors import DataError
from tests.codes.pieces import bert_like

IDS = ["B1", "B2", "B3"]
LEXICAL = ["|▁rose|soap|▁bar", "|▁rose|soap|0", "|▁mint|▁tea"]
SPELLED = [["▁rose", "soap", "▁bar"], ["▁rose", "soap", "0"], ["▁mint", "▁tea"]]


@pytest.fixture
def catalog():
    return Catalog(pa.table({"item_id": IDS, "title": IDS}), ("title",))


def write_text(path, ids=IDS, values=LEXICAL, end="\n"):
    path.write_bytes("".join(f"{item} {value}{end}" for item, value in zip(ids, values, strict=True)).encode())
    return path


def write_table(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("form", ["text", "crlf", "strings", "lists"])
def test_every_form_is_read_in_catalogue_order(tmp_path, catalog, form):
    ids, values = ["other", "B3", "B1", "B2"], ["|x", LEXICAL[2], LEXICAL[0], LEXICAL[1]]
    match form:
        case "text" | "crlf":
            path = write_text(tmp_path / "ids.txt", ids, values, "\r\n" if form == "crlf" else "\n")
        case "strings":
            path = write_table(tmp_path / "i.parquet", item_id=ids, gram_lexical_id=values, more=values)
        case "lists":
            path = write_table(tmp_path / "i.parquet", item_id=ids, sid=[["x"], SPELLED[2], SPELLED[0], SPELLED[1]])
    found = read_published(path, catalog)
    assert [found.spelled(item) for item in range(3)] == SPELLED
    assert found.tokens.max() == len(found.pieces) - 1 == 5


def test_pieces_are_looked_up_in_a_tokenizer(tmp_path, catalog):
    tokenizer = bert_like(["▁rose", "soap", "▁bar", "0", "▁mint", "▁tea"])
    found = read_published(write_text(tmp_path / "ids.txt"), catalog, tokenizer)
    assert found.tokens[0].tolist() == tokenizer.convert_tokens_to_ids(SPELLED[0])
    with pytest.raises(DataError, match="piece '▁tea' of item 'B3'"):
        read_published(tmp_path / "ids.txt", catalog, bert_like(["▁rose", "soap", "▁bar", "0", "▁mint"]))


def test_plain_strings_are_texts_made_unique_and_prefix_free(tmp_path, catalog):
    path = write_text(tmp_path / "ids.txt", values=["rose soap", "rose soap", "rose soap bar"])
    found = read_published(path, catalog)
    assert [found.spelled(item) for item in range(3)] == [
        ["rose", "soap", "0"],
        ["rose", "soap", "1"],
        ["rose", "soap", "bar"],
    ]
    tokenizer = bert_like(["rose", "so", "##ap", "bar", "0", "1"])
    assert read_published(path, catalog, tokenizer).spelled(0) == ["rose", "so", "##ap", "0"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["|a", "|a", "|b"], "the identifier 'a' of item 'B1' is also that of item 'B2'"),
        (["|a|b", "|a", "|b"], "the identifier 'a' of item 'B2' is the beginning of that of item 'B1'"),
        (["|a|b", " ", "|b"], "line 2: 'B2'"),
    ],
)
def test_unusable_text_files_are_refused(tmp_path, catalog, values, said):
    with pytest.raises(DataError, match=f"ids.txt.*{said}"):
        read_published(write_text(tmp_path / "ids.txt", values=values), catalog)


def test_items_without_or_with_two_identifiers_are_named(tmp_path, catalog):
    with pytest.raises(DataError, match="no identifier for 2 items of the catalog, such as 'B2', 'B3'"):
        read_published(write_text(tmp_path / "ids.txt", IDS[:1], LEXICAL[:1]), catalog)
    with pytest.raises(DataError, match="item 'B1' stands more than once"):
        read_published(write_text(tmp_path / "ids.txt", [*IDS, "B1"], [*LEXICAL, "|x"]), catalog)


def test_unreadable_files_are_refused(tmp_path, catalog):
    with pytest.raises(DataError, match="no such file"):
        read_published(tmp_path / "absent.txt", catalog)
    (tmp_path / "latin.txt").write_bytes(b"B1 |\xe9t\xe9\n")
    with pytest.raises(DataError, match="byte 4 is not UTF-8"):
        read_published(tmp_path / "latin.txt", catalog)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no Parquet file"):
        read_published(tmp_path / "broken.parquet", catalog)


def test_columns_must_be_clear(tmp_path, catalog):
    path = write_table(tmp_path / "i.parquet", item_id=IDS, one=LEXICAL, two=LEXICAL, number=[1, 2, 3])
    with pytest.raises(DataError, match="the setting 'column'"):
        read_published(path, catalog)
    with pytest.raises(DataError, match="Did you mean 'one'"):
        read_published(path, catalog, column="onee")
    with pytest.raises(DataError, match="'number' is int64"):
        read_published(path, catalog, column="number")
    assert np.array_equal(read_published(path, catalog, column="two").lengths, [3, 3, 2])

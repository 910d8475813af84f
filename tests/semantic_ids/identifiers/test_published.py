import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.published import read_published
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.published_codes import read_published_codes
from tests.worlds.pieces import bert_like

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
        (["|a|b", "|a", "|b"], "the identifier 'a' of item 'B2' is a prefix of that of item 'B1'"),
        (["|a|b", " ", "|b"], "line 2 is 'B2'"),
    ],
)
def test_unusable_text_files_are_refused(tmp_path, catalog, values, said):
    with pytest.raises(DataError, match=f"ids.txt.*{said}"):
        read_published(write_text(tmp_path / "ids.txt", values=values), catalog)


def test_items_without_or_with_two_identifiers_are_named(tmp_path, catalog):
    with pytest.raises(DataError, match="no identifier for 2 items of the catalog, such as 'B2', 'B3'"):
        read_published(write_text(tmp_path / "ids.txt", IDS[:1], LEXICAL[:1]), catalog)
    with pytest.raises(DataError, match="item 'B1' occurs more than once"):
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


SIDS = ["<a_2><b_0><c_7>", "<a_2><b_0><c_7>", "<a_2><b_11><c_7>"]


@pytest.mark.parametrize("form", ["strings", "lists", "json", "text"])
def test_semantic_ids_are_read_as_codes_of_which_every_item_has_its_own(tmp_path, catalog, form):
    match form:
        case "strings":
            path = write_table(tmp_path / "i.parquet", item_id=IDS, title=IDS, sid=SIDS)
        case "lists":
            path = write_table(
                tmp_path / "i.parquet", item_id=IDS, sid=[[f"{p}>" for p in s.split(">")[:3]] for s in SIDS]
            )
        case "json":
            path = tmp_path / "x.index.json"
            path.write_text(
                json.dumps({i: [f"{p}>" for p in s.split(">")[:3]] for i, s in zip(IDS, SIDS, strict=True)})
            )
        case "text":
            path = write_text(tmp_path / "ids.txt", values=SIDS)
    found = read_published_codes(path, catalog)
    assert found.codes.kind == "residual"
    assert found.codes.values.tolist() == [[2, 0, 7, 0], [2, 0, 7, 1], [2, 11, 7, 0]]
    assert (found.collisions.before.items, found.collisions.after.items) == (2, 0)
    shared = read_published_codes(path, catalog, collisions=CollisionSettings(rule="none"))
    assert shared.codes.values.tolist() == [[2, 0, 7], [2, 0, 7], [2, 11, 7]]


def test_semantic_ids_as_identifiers_get_a_counter_where_they_are_shared(tmp_path, catalog):
    path = write_table(tmp_path / "i.parquet", item_id=IDS, title=IDS, sid=SIDS)
    found = read_published(path, catalog)
    assert found.spelled(1) == ["<a_2>", "<b_0>", "<c_7>", "<d_1>"]
    assert found.spelled(2) == ["<a_2>", "<b_11>", "<c_7>"]
    assert read_published(path, catalog, bert_like(["a"])).pieces == found.pieces
    tokenizer = bert_like(["a", *found.pieces])
    assert read_published(path, catalog, tokenizer).tokens[2, :3].tolist() == [
        tokenizer.convert_tokens_to_ids(piece) for piece in found.spelled(2)
    ]


def test_semantic_ids_of_several_lengths_lack_nothing_as_codes(tmp_path, catalog):
    path = write_text(tmp_path / "ids.txt", values=["<a_2><b_0>", "<a_2><b_0><c_1>", "<a_2><b_0><c_2>"])
    assert read_published_codes(path, catalog).codes.values[:, 2].tolist() == [0, 1, 2]
    assert read_published(path, catalog).lengths.tolist() == [3, 3, 3]  # the first is a prefix, and gets a counter


def test_with_vectors_items_move_to_codes_in_use(tmp_path, catalog):
    path = write_text(tmp_path / "ids.txt", values=["<a_0><b_5>", "<a_0><b_5>", "<a_1><b_9>"])
    vectors = np.array([[0.0, 0], [0, 3], [9, 5]])
    rule = CollisionSettings(rule="nearest-free")
    found = read_published_codes(path, catalog, collisions=rule, vectors=vectors)
    assert sorted(found.codes.values.tolist()) == [[0, 5], [0, 9], [1, 9]]
    assert found.collisions.moved == 1
    with pytest.raises(SettingsError, match="needs the items' vectors"):
        read_published_codes(path, catalog, collisions=rule)
    with pytest.raises(DataError, match="2 vectors and 3 items"):
        read_published_codes(path, catalog, collisions=rule, vectors=vectors[:2])


@pytest.mark.parametrize("wrong", ["<b_0><a_1>", "<a_1><b_x>", "<a_1>|", "a_1", "<a_0><b_1><d_2>"])
def test_what_is_no_semantic_id_is_named(tmp_path, catalog, wrong):
    path = write_table(tmp_path / "i.parquet", item_id=IDS, sid=["<a_1>", wrong, "<a_2>"])
    with pytest.raises(DataError, match=r"item 'B2' has .* \(1 such items\)"):
        read_published_codes(path, catalog)


def test_unreadable_json_is_refused(tmp_path, catalog):
    path = tmp_path / "i.json"
    for text, said in (("[1]", "is no object of item ids"), ("{", "is no JSON")):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_published_codes(path, catalog)


def test_industrials_published_semantic_ids(data_dir):
    path = data_dir / "industrial18" / "items.parquet"
    catalog = Catalog.read(path, text=["title"])
    found = read_published_codes(path, catalog)
    before = found.collisions.before
    assert (before.items, before.groups, found.collisions.after.items) == (31, 15, 0)
    given = Codes(found.codes.values[:, :3], "residual")
    assert sum(len(given.counts(level)) for level in range(3)) == 560
    assert [int(given.prefixes(level).max()) + 1 for level in range(3)] == [48, 2295, 3670]
    assert np.bincount(read_published(path, catalog).lengths).tolist() == [0, 0, 0, 3655, 31]

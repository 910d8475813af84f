"""Files as people brought them, each of which was once misread: what `init`, the readers and importers make of them.

The files lie in `tests/fixtures/cases`. What `init` writes is read back, so that a case covers both.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexirec.cli import app
from lexirec.core.errors import LexirecError
from lexirec.data.catalog import Catalog
from lexirec.data.importers.registry import import_dataset
from lexirec.data.interactions import Interactions
from lexirec.data.loading import read_data
from lexirec.data.readers.text_format import TextFormat
from lexirec.models.recommend import allowed_items
from lexirec.pipeline.experiment import load_experiment
from lexirec.workflows.scaffold import draft_experiment

CASES = Path(__file__).parent / "fixtures" / "cases"


def drafted(tmp_path, items, events):
    """Return what a drafted experiment reads: remarks, catalogue, and the items of each user."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        draft = draft_experiment(CASES / items, CASES / events, tmp_path / "mine.toml")
    catalog, interactions = read_data(load_experiment(draft.path).data, tmp_path)
    return "; ".join(draft.remarks), catalog, histories(catalog, interactions)


def histories(catalog, interactions):
    offsets = interactions.sequences.offsets
    return {
        str(user): [catalog.item_ids[n] for n in interactions.sequences.items[offsets[row] : offsets[row + 1]]]
        for row, user in enumerate(interactions.user_ids)
    }


def oldest_first(path):
    """Return the histories of a file whose rows are newest first."""
    read = {}
    for line in reversed(path.read_text().splitlines()[1:]):
        user, item, _ = line.split(",", 2)
        read.setdefault(user, []).append(item)
    return read


def refusal(act, *arguments, **options):
    with pytest.raises(LexirecError) as caught:
        act(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- times


def test_times_with_offsets_are_that_moment(tmp_path):
    case = "01-utc-offsets-ignored"
    _, _, read = drafted(tmp_path, f"{case}/items.csv", f"{case}/events.csv")
    assert read["u1"] == ["a1", "a2", "a3", "a4"]
    items = Catalog.read(CASES / case / "items.csv", text=["title"])
    events = Interactions.read(CASES / case / "events.csv", items)
    row = events.user_ids.tolist().index("u1")
    times = events.times[events.sequences.offsets[row] : events.sequences.offsets[row + 1]]
    assert times.tolist() == [1729929600, 1729933200, 1729990200, 1729991400]


@pytest.mark.parametrize(
    "name",
    ["amazon_reviewTime", "goodreads", "month_name", "iso_comma", "iso_under_another_name", "ymd_int", "ymdhms_int"],
)
def test_times_are_found_by_their_values(tmp_path, name):
    case = "06-time-columns-not-recognised"
    _, _, read = drafted(tmp_path, f"{case}/items.csv", f"{case}/{name}.csv")
    assert read == oldest_first(CASES / case / f"{name}.csv")


@pytest.mark.parametrize(("name", "written"), [("us", "%m/%d/%Y"), ("us_ampm", "%m/%d/%Y"), ("eu_dot", "%d.%m.%Y")])
def test_days_and_months_that_cannot_be_told_apart_are_refused_with_an_example(tmp_path, name, written):
    case = "06-time-columns-not-recognised"
    message = refusal(drafted, tmp_path, f"{case}/items.csv", f"{case}/{name}.csv")
    assert "2019" in message
    assert "time_format" in message


def test_lines_newest_first_are_ordered_by_their_dates(tmp_path):
    case = "06-time-columns-not-recognised"
    _, _, read = drafted(tmp_path, f"{case}/g_i.jsonl", f"{case}/g_e.jsonl")
    assert read["u0"] == ["100", "101", "102", "103"]


def test_dates_written_as_numbers_are_dates(tmp_path):
    case = "17-date-integers"
    for name in ("ymd", "ymdhms"):
        (tmp_path / name).mkdir()
        _, _, read = drafted(tmp_path / name, f"{case}/items.csv", f"{case}/events_{name}.csv")
        assert all(len(history) == 4 for history in read.values())
    message = refusal(drafted, tmp_path, f"{case}/items.csv", f"{case}/events_dmy.csv")
    assert "2019" in message


# ------------------------------------------------------------------------------------------------------ names, titles


@pytest.mark.parametrize("name", ["brand", "title", "desc", "bad", "unreadable"])
def test_no_name_of_a_column_clashes_with_one_of_ours(tmp_path, name):
    case = "02-column-name-collisions"
    _, catalog, read = drafted(tmp_path, f"{case}/items_{name}.csv", f"{case}/events.csv")
    assert len(catalog) == 6
    assert all(title in text for title, text in zip(["Red river", "Blue moon"], catalog.texts(), strict=False))
    assert all(read.values())
    if name == "unreadable":
        assert catalog.field("unreadable")[0] == "yes"
    mapped = {"brand": ("brand", "manufacturer", "Acme"), "desc": ("categories", "genres", "Drama")}
    if name in mapped:
        ours, theirs, value = mapped[name]
        by_hand = Catalog.read(CASES / case / f"items_{name}.csv", text=["title", ours], columns={ours: theirs})
        assert by_hand.field(ours)[0] == value


@pytest.mark.parametrize("name", ["BX-Books", "BX-Books-utf8", "BX-Books-doubled"])
def test_the_title_stays_where_other_columns_are_recognised(tmp_path, name):
    case = "11-tsv-quotes-and-bx"
    _, catalog, _ = drafted(tmp_path, f"{case}/{name}.csv", f"{case}/BX-Book-Ratings.csv")
    assert len(catalog) == 6
    assert catalog.text_fields[:2] == ("title", "brand")
    assert catalog.field("title")[:2] == ["Classical Mythology", "Clara Callan"]
    assert catalog.field("brand")[0] == "A. Writer"
    assert any("überall" in title for title in catalog.field("title"))
    assert any('"' in title for title in catalog.field("title"))


# -------------------------------------------------------------------------------------------------------- texts


def test_lists_and_objects_in_text_give_their_names(tmp_path):
    case = "07-structured-categories-as-text"
    _, catalog, _ = drafted(tmp_path, f"{case}/items_pylist.csv", f"{case}/ratings.csv")
    assert "categories: Books, Fiction" in catalog.texts()[0]
    assert allowed_items(catalog, ["categories=Books"]).all()
    (tmp_path / "movies").mkdir()
    _, catalog, _ = drafted(tmp_path / "movies", f"{case}/movies_metadata.csv", f"{case}/ratings.csv")
    assert "categories: Drama" in catalog.texts()[0]
    (tmp_path / "nested").mkdir()
    _, catalog, _ = drafted(tmp_path / "nested", f"{case}/items.jsonl", f"{case}/ratings.csv")
    assert "Books, Fiction" in catalog.texts()[0]
    assert not any(mark in text for text in catalog.texts() for mark in ("[", "]", "{", "'", '"', "author_id"))


def test_markup_and_entities_name_no_item(tmp_path):
    case = "08-html-and-js-in-texts"
    _, catalog, _ = drafted(tmp_path, f"{case}/html_i.csv", f"{case}/html_e.csv")
    assert catalog.field("title")[:2] == ["red pan &", "blue pan &"]
    import_dataset("amazon-2018", CASES / case / "a18", tmp_path / "a18")
    imported = Catalog.load_items(tmp_path / "a18") if hasattr(Catalog, "load_items") else Catalog.read(
        tmp_path / "a18" / "items.parquet", text=["title", "categories"]
    )  # fmt: skip
    titles = dict(zip(imported.item_ids, imported.field("title"), strict=True))
    assert titles["B0"] == "Widget 0"
    assert titles.get("B1", "") == ""
    assert titles["B2"] == "Nice & soft"
    assert titles["B3"] == "Real"


def test_null_words_are_no_texts_and_no_ids(tmp_path):
    case = "14-null-words"
    message = refusal(Catalog.read, CASES / case / "nan.csv", text=["title"])
    assert "empty text of item" in message
    assert "4 rows are bad" in message


# ------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("name", ["arr.json", "g.csv", "idx.csv", "sep.csv", "cm.csv", "tc.csv", "sp.csv", "i.csv"])
@pytest.mark.parametrize("events", ["e.csv", "spe.csv", "eva.json"])
def test_files_that_are_written_another_way_are_read(tmp_path, name, events):
    case = "12-misleading-file-messages"
    _, catalog, read = drafted(tmp_path, f"{case}/{name}", f"{case}/{events}")
    assert catalog.field("title") == ["Red river", "Blue moon", "Green mile", "Black night"]
    assert catalog.item_ids == ["a0", "a1", "a2", "a3"]
    assert next(iter(read.values())) == ["a0", "a1", "a2", "a3"]
    assert "Unnamed" not in " ".join(catalog.table.column_names)


def test_what_is_no_table_is_called_by_its_name():
    case = CASES / "12-misleading-file-messages"
    assert "no row below the header" in refusal(Catalog.read, case / "h.csv", text=["title"])
    assert "this is one JSON object" in refusal(Catalog.read, case / "dict.json", text=["title"])


def test_quotes_in_text_separated_by_tabs_are_part_of_it():
    items = Catalog.read(CASES / "11-tsv-quotes-and-bx/news_h.tsv", text=["title"], columns={"item_id": "news_id"})
    assert len(items) == 6
    assert items.field("title")[items.item_ids.index("N10001")] == '"We will win" says coach'


def test_encoding_and_escape_are_settings():
    path = CASES / "11-tsv-quotes-and-bx/BX-Books.csv"
    columns = {"item_id": "ISBN", "title": "Book-Title"}
    books = Catalog.read(path, text=["title"], columns=columns, format=TextFormat(encoding="latin-1", escape="\\"))
    assert len(books) == 6
    assert "encoding" in refusal(Catalog.read, path, text=["title"], columns=columns)


def test_recboles_histories_and_parts_are_read(tmp_path):
    case = CASES / "05-recbole-item-id-list"
    imported = import_dataset("recbole", case / "raw", tmp_path / "raw")
    assert imported.interactions == 12
    import_dataset("recbole", case / "benchmark", tmp_path / "benchmark")
    items = Catalog.read(tmp_path / "benchmark/items.parquet", text=["title"])
    events = Interactions.read(tmp_path / "benchmark/interactions.parquet", items)
    assert events.labels is not None


# -------------------------------------------------------------------------------------------------- ids and filters


@pytest.mark.parametrize(
    ("items", "events", "setting", "first"),
    [
        ("items.csv", "events_float_ids.csv", "decimals", "100"),
        ("articles.csv", "tr.parquet", "leading-zeros", "0108775016"),
    ],
)
def test_ids_in_another_spelling_are_matched_and_named(tmp_path, items, events, setting, first):
    case = "13-ids-in-other-spelling"
    remarks, _, read = drafted(tmp_path, f"{case}/{items}", f"{case}/{events}")
    assert f'match_ids = ["{setting}"]' in remarks
    assert next(iter(read.values()))[0] == first


def test_filters_read_numbers_in_text():
    case = CASES / "15-number-filters-skip-text"
    comma = Catalog.read(case / "items_decimal_comma.csv", text=["title"])
    prices = [float(price.replace(",", ".")) for price in comma.field("price")]
    wanted = [price <= 130 for price in prices]
    assert allowed_items(comma, deny=["price>130"]).tolist() == wanted
    assert allowed_items(comma, allow=["price<=130"]).tolist() == wanted
    mixed = Catalog.read(case / "items.jsonl", text=["title"])
    ids = [item for item, kept in zip(mixed.item_ids, allowed_items(mixed, deny=["price>10"]), strict=True) if kept]
    assert ids == ["a1"]
    recent = allowed_items(mixed, allow=["date>2024-01-01"])
    assert "a0" in [item for item, kept in zip(mixed.item_ids, recent, strict=True) if kept]
    assert "a1" not in [item for item, kept in zip(mixed.item_ids, recent, strict=True) if kept]


# ------------------------------------------------------------------------------------------------------ users too short


def test_users_with_too_few_events_are_named_before_anything_is_trained(tmp_path):
    case = CASES / "16-users-too-short"
    assert "none of the 12 users has three events" in refusal(
        drafted, tmp_path, case / "items.csv", case / "events.csv"
    )
    result = CliRunner().invoke(app, ["run", str(case / "case.toml"), "--store", str(tmp_path / "store")])
    assert isinstance(result.exception, LexirecError)
    assert "\n" not in str(result.exception)
    assert 'choose_on = "validation"' not in str(result.exception)
    assert {path.name for path in (tmp_path / "store").glob("*")} <= {"data", "unfinished", "digests.json"}

from __future__ import annotations

import gzip
import json

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, json_lines, rows, write


def event(user, book, added, rating=0, read=True):
    return {
        "user_id": user,
        "book_id": book,
        "review_id": "r",
        "is_read": read,
        "rating": rating,
        "review_text_incomplete": "",
        "date_added": added,
        "date_updated": "Mon Aug 01 13:42:41 -0700 2011",
        "read_at": "",
        "started_at": "Sat Jan 01 00:00:00 -0800 2011",
    }


EVENTS = [
    event("u1", "130580", "Sun Oct 27 02:10:00 +0100 2013", 4),
    event("u1", "5333265", "Sun Oct 27 02:50:00 +0200 2013", read=False),
    event("u2", "130580", "Fri Mar 14 10:00:00 -0700 2014", 5),
    event("u2", "999", "Fri Mar 14 11:00:00 -0700 2014", 5),
]
BOOKS = [
    {
        "book_id": "5333265",
        "work_id": "5400751",
        "title": "W.C. Fields: A Life &amp; Film",
        "title_without_series": "W.C. Fields",
        "authors": [
            {"author_id": "9", "role": "Illustrator"},
            {"author_id": "7", "role": ""},
            {"author_id": "8", "role": ""},
        ],
        "popular_shelves": [
            {"count": "9", "name": "to-read"},
            {"count": "3", "name": "young-adult"},
            {"count": "2", "name": "kindle"},
            {"count": "1", "name": "biography"},
        ],
        "description": "He <b>drank</b>.",
        "publisher": "St. Martin's Press",
        "publication_year": "1984",
        "language_code": "",
    },
    {"book_id": "130580", "title": "", "title_without_series": "Bone", "authors": "", "popular_shelves": []},
]
AUTHORS = [
    {"author_id": "7", "name": "Ronald J. Fields"},
    {"author_id": "8", "name": "Ann"},
    {"author_id": "9", "name": "Ill"},
]
GENRES = [
    {"book_id": "130580", "genres": {"comics, graphic": 3, "young-adult": 30, "mystery, thriller, crime": 3}},
    {"book_id": "5333265", "genres": {}},
]
FILES = {
    "goodreads_interactions_comics_graphic.json.gz": gzip.compress(json_lines(EVENTS)),
    "goodreads_books_comics_graphic.json.gz": gzip.compress(json_lines(BOOKS)),
}
MORE = {
    "goodreads_book_authors.json.gz": gzip.compress(json_lines(AUTHORS)),
    "goodreads_book_genres_initial.json.gz": gzip.compress(json_lines(GENRES)),
    "goodreads_book_works.json.gz": b"not read",
}


def test_events_at_their_moment_and_texts_of_books(tmp_path):
    done = import_dataset("goodreads", write(tmp_path / "raw", {**FILES, **MORE}), tmp_path / "out")
    assert histories(tmp_path / "out") == {"u1": ["5333265", "130580"], "u2": ["130580"]}
    assert rows(tmp_path / "out")[0] == {
        "user_id": "u1",
        "item_id": "130580",
        "time": 1382836200.0,
        "rating": 4.0,
        "is_read": True,
        "date_updated": "Mon Aug 01 13:42:41 -0700 2011",
        "read_at": None,
        "started_at": "Sat Jan 01 00:00:00 -0800 2011",
    }
    assert rows(tmp_path / "out", "items")[0] == {
        "item_id": "5333265",
        "title": "W.C. Fields: A Life & Film",
        "authors": ["Ronald J. Fields", "Ann"],
        "categories": ["young adult", "biography"],
        "description": "He drank.",
        "publisher": "St. Martin's Press",
        "year": 1984,
        "language": None,
        "work_id": "5400751",
    }
    second = rows(tmp_path / "out", "items")[1]
    assert second["title"] == "Bone"
    assert second["categories"] == ["young-adult", "comics, graphic", "mystery, thriller, crime"]
    assert done.left_out == {"interaction with an item without text": 1}


def test_without_names_of_authors(tmp_path):
    done = import_dataset("goodreads", write(tmp_path / "raw", FILES), tmp_path / "out")
    assert column(tmp_path / "out", "authors", "items") == [None, None]
    assert any("goodreads_book_authors.json.gz" in remark for remark in done.remarks)


def test_reviews_of_the_older_release(tmp_path):
    reviews = [{**event("u1", "5333265", "Fri Mar 14 10:00:00 -0700 2014", 3)}]
    reviews[0]["isRead"] = reviews[0].pop("is_read")
    files = {"goodreads_reviews.json": json_lines(reviews), "goodreads_books.json": json_lines(BOOKS)}
    import_dataset("goodreads", write(tmp_path / "raw", files), tmp_path / "out")
    assert column(tmp_path / "out", "is_read") == [True]


def test_the_summary_with_numbers_of_its_own(tmp_path):
    files = {
        "goodreads_interactions.csv": "user_id,book_id,is_read,rating,is_reviewed\n0,1,1,5,0\n0,0,0,0,0\n"
        "7,0,1,3,1\n7,6,1,3,1\n",
        "goodreads_books.json.gz": gzip.compress(json_lines(BOOKS)),
    }
    with pytest.raises(DataError, match=r"there is no book_id_map\.csv, which says which books"):
        import_dataset("goodreads", write(tmp_path / "raw", files), tmp_path / "out")
    write(tmp_path / "raw", {"book_id_map.csv": "book_id_csv,book_id\n0,5333265\n1,130580\n"})
    done = import_dataset("goodreads", tmp_path / "raw", tmp_path / "out")
    assert histories(tmp_path / "out") == {"0": ["130580", "5333265"], "7": ["5333265"]}
    assert column(tmp_path / "out", "is_read") == [True, False, True]
    assert "time" not in rows(tmp_path / "out")[0]
    assert "no times" in done.remarks[0]
    assert done.left_out["interaction with an item without text"] == 1
    write(tmp_path / "raw", {"user_id_map.csv": "user_id_csv,user_id\n0,8842281e\n"})
    import_dataset("goodreads", tmp_path / "raw", tmp_path / "again")
    assert list(histories(tmp_path / "again")) == ["8842281e", "7"]


def test_bad_rows(tmp_path):
    wrong = [*EVENTS, event("u3", "130580", "14.03.2014")]
    files = {**FILES, "goodreads_interactions_comics_graphic.json.gz": gzip.compress(json_lines(wrong))}
    with pytest.raises(DataError, match=r"row 5, column 'date_added': no time '14\.03\.2014'"):
        import_dataset("goodreads", write(tmp_path / "raw", files), tmp_path / "out")
    books = json_lines(BOOKS) + b'{"book_id": \n' + json.dumps({"title": "No id"}).encode() + b"\n"
    files = {**FILES, "goodreads_books_comics_graphic.json.gz": gzip.compress(books)}
    done = import_dataset("goodreads", write(tmp_path / "raw", files), tmp_path / "out", on_bad_row="reject")
    assert (done.left_out["malformed line"], done.left_out["empty item id"]) == (1, 1)
    files = {**FILES, "goodreads_interactions.json.gz": b""}
    with pytest.raises(DataError, match="several files could be the goodreads_interactions"):
        import_dataset("goodreads", write(tmp_path / "raw", files), tmp_path / "twice")

from __future__ import annotations

import io
import zipfile

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, rows, write

RATINGS = (
    '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n"276726";"0155061224";"5"\r\n'
    '"276725";" 0155061224 ";"7"\r\n"276726";"078946697X";"10"\r\n"276726";"\\"0001\\"";"3"\r\n'
)
BOOKS = (
    '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\r\n'
    '"034545104X";"Der Weg nach überall";"D. Writer";"2002";"W. W. Norton &amp; Company";"http://x/1.jpg"\r\n'
    '"0155061224";"The Mummies of \\"Urumchi\\"; a tale";"E. Writer";"0";"Nørton";"http://x/2.jpg"\r\n'
    '"078946697X";"DK Readers: Level 4\\";Michael Teitelbaum";"2000";"DK Publishing Inc";"http://x/3.jpg"\r\n'
    '"9999999999";"Nobody\'s";"N. N.";"1999";"P";"http://x/4.jpg"\r\n'
)
EXPECTED = [
    ("034545104X", "Der Weg nach überall", "D. Writer", "W. W. Norton & Company", 2002),
    ("0155061224", 'The Mummies of "Urumchi"; a tale', "E. Writer", "Nørton", None),
    ("078946697X", "DK Readers: Level 4", "Michael Teitelbaum", "DK Publishing Inc", 2000),
]


def check(folder):
    found = [tuple(row.values()) for row in rows(folder, "items")]
    assert found == EXPECTED
    assert histories(folder) == {"276725": ["034545104X", "0155061224"], "276726": ["0155061224", "078946697X"]}
    assert column(folder, "rating") == [0.0, 5.0, 7.0, 10.0]


def test_the_published_files(tmp_path):
    files = {
        "BX-Book-Ratings.csv": RATINGS.encode("latin-1"),
        "BX-Books.csv": BOOKS.encode("latin-1"),
        "BX-Users.csv": "",
    }
    done = import_dataset("book-crossing", write(tmp_path / "raw", files), tmp_path / "out")
    check(tmp_path / "out")
    assert done.left_out == {"item without interactions": 1, "interaction with an item without text": 1}
    assert done.remarks[0] == "there are no times, so a user's events are in the order of the file"


def test_the_zip_file(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("BX-Book-Ratings.csv", RATINGS.encode("latin-1"))
        archive.writestr("BX-Books.csv", BOOKS.encode("latin-1"))
    import_dataset("book-crossing", write(tmp_path / "raw", {"BX-CSV-Dump.zip": content.getvalue()}), tmp_path / "out")
    check(tmp_path / "out")


def test_copies_with_commas_and_doubled_quotes(tmp_path):
    ratings = (
        "User-ID,ISBN,Book-Rating\n276725,034545104X,0\n276726,0155061224,5\n"
        "276725,0155061224,7\n276726,078946697X,10\n"
    )
    books = (
        "ISBN,Book-Title,Book-Author,Year-Of-Publication,Publisher,Image-URL-S\n"
        "034545104X,Der Weg nach überall,D. Writer,2002,W. W. Norton &amp; Company,http://x/1.jpg\n"
        '0155061224,"The Mummies of ""Urumchi""; a tale",E. Writer,0,Nørton,http://x/2.jpg\n'
        '078946697X,"DK Readers: Level 4\\"";Michael Teitelbaum""",2000,DK Publishing Inc,http://x/3.jpg,\n'
    )
    import_dataset(
        "book-crossing", write(tmp_path / "raw", {"Ratings.csv": ratings, "Books.csv": books}), tmp_path / "out"
    )
    check(tmp_path / "out")


def test_short_names_of_columns(tmp_path):
    files = {
        "Ratings.csv": "User-ID;ISBN;Rating\n1;01;0\n1;02;4\n",
        "Books.csv": "ISBN;Title;Author;Year;Publisher\n01;A;B;1999;C\n02;D;E;2001;F\n",
    }
    import_dataset("book-crossing", write(tmp_path / "raw", files), tmp_path / "out")
    assert histories(tmp_path / "out") == {"1": ["01", "02"]}


def test_rows_that_cannot_be_read(tmp_path):
    broken = BOOKS + '"111";"Too";"few"\r\n"112";"A";"B";"1";"C";"D";"E";"F"\r\n'
    files = {"BX-Book-Ratings.csv": RATINGS, "BX-Books.csv": broken}
    with pytest.raises(DataError, match=r"BX-Books\.csv, line 6: too few fields in '111;Too;few'"):
        import_dataset("book-crossing", write(tmp_path / "raw", files), tmp_path / "out")
    done = import_dataset("book-crossing", tmp_path / "raw", tmp_path / "out", on_bad_row="reject")
    assert (done.left_out["too few fields"], done.left_out["too many fields"]) == (1, 1)
    check(tmp_path / "out")


def test_a_header_without_a_column(tmp_path):
    files = {"Ratings.csv": "user,ISBN,Rating\n1,01,0\n", "Books.csv": "ISBN,Title\n01,A\n"}
    with pytest.raises(DataError, match=r"Ratings\.csv, line 1: no column is called userid; the header is 'user,ISBN"):
        import_dataset("book-crossing", write(tmp_path / "raw", files), tmp_path / "out")

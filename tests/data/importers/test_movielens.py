from __future__ import annotations

import io
import zipfile

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, rows, write


def flags(*numbers):
    return "|".join("1" if number in numbers else "0" for number in range(19))


MOVIES = "\n".join(
    [
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|{flags(3, 4, 5)}",
        f"2|Les Misérables \x85 (1995)|01-Jan-1995||http://us.imdb.com/M|{flags(8)}",
        f"267|unknown||||{flags(0)}",
        f"300|Nobody's (1997)|||x|{flags(18)}",
        "",
    ]
).encode("latin-1")
RATINGS = "196\t2\t3\t881250949\n196\t1\t5\t881250000\n186\t267\t4\t891717742\n186\t1\t4\t891717700\n"


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize("form", ["files", "folder", "zip"])
def test_100k(tmp_path, form):
    plain = {"u.data": RATINGS, "u.item": MOVIES, "u.genre": "unknown|0\n", "u.user": "1|24|M|technician|85711\n"}
    files = {
        "files": plain,
        "folder": {f"ml-100k/{name}": data for name, data in plain.items()},
        "zip": {"ml-100k.zip": zipped({f"ml-100k/{name}": data for name, data in plain.items()})},
    }[form]
    done = import_dataset("movielens", write(tmp_path / "raw", files), tmp_path / "out")
    assert histories(tmp_path / "out") == {"196": ["1", "2"], "186": ["1"]}
    assert column(tmp_path / "out", "rating") == [3.0, 5.0, 4.0]
    assert rows(tmp_path / "out", "items") == [
        {
            "item_id": "1",
            "title": "Toy Story (1995)",
            "categories": ["Animation", "Children's", "Comedy"],
            "year": 1995,
        },
        {"item_id": "2", "title": "Les Misérables \x85 (1995)", "categories": ["Drama"], "year": 1995},
    ]
    assert done.left_out == {
        "item without interactions": 1,
        "item without text": 1,
        "interaction with an item without text": 1,
    }


def test_a_line_of_movies_with_other_fields(tmp_path):
    folder = write(tmp_path / "raw", {"u.data": RATINGS, "u.item": b"1|Toy Story|0|0\n"})
    with pytest.raises(DataError, match=r"u\.item, line 1: the line has 4 fields, not 24 \(id, title"):
        import_dataset("movielens", folder, tmp_path / "out")
    folder = write(tmp_path / "raw", {"u.item": b"1|Toy Story|0|0\n" + MOVIES})
    done = import_dataset("movielens", folder, tmp_path / "out", on_bad_row="reject")
    assert (done.items, rows(tmp_path / "out", "rejects")[0]["row"]) == (2, 1)


@pytest.mark.parametrize("name", ["../ratings.dat", "/tmp/ratings.dat", "a/../../ratings.dat", "C:\\ratings.dat"])
def test_an_archive_that_leaves_its_folder(tmp_path, name):
    files = {"ml-1m.zip": zipped({name: "1::1::5::978300760\n", "movies.dat": "1::A::B\n"})}
    with pytest.raises(DataError, match="the archive names a place outside of it"):
        import_dataset("movielens", write(tmp_path / "raw", files), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_an_archive_without_the_files(tmp_path):
    with pytest.raises(DataError, match=r"holds no u\.data, ratings\.dat or ratings\.csv"):
        import_dataset("movielens", write(tmp_path, {"ml-1m.zip": zipped({"README": "x"})}), tmp_path / "out")

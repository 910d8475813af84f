from __future__ import annotations

import io
import zipfile

import pytest

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.importers.registry import import_dataset
from lexirec.data.interactions import Interactions
from lexirec.data.splits import predefined_split
from tests.data.importers.reading import column, histories, rows, write


def news(*numbers):
    return "".join(
        f'N{n}\tsports\tsoccer{n % 2}\tTitle {n}\tAbout {n}\thttps://example.com/{n}\t[]\t[{{"Label": "X"}}]\n'
        for n in numbers
    )


def behaviors(*lines):
    return "".join("\t".join((str(n), *line)) + "\n" for n, line in enumerate(lines, start=1))


def test_histories_come_before_the_clicks_by_time(tmp_path):
    files = {
        "behaviors.tsv": behaviors(
            ("U1", "11/11/2019 9:05:58 AM", "N1 N2 N3", "N7-0 N5-1"),
            ("U1", "11/10/2019 11:05:58 PM", "N1 N2", "N4-1 N6-1 N9-0"),
            ("U2", "11/9/2019 12:00:00 AM", "", "N1-1"),
            ("U3", "11/9/2019 12:00:00 PM", "N3 N3", "N1-0"),
        ),
        "news.tsv": news(*range(1, 9)),
    }
    done = import_dataset("mind", write(tmp_path, files), tmp_path / "out")
    assert histories(tmp_path / "out") == {
        "U1": ["N1", "N2", "N4", "N6", "N3", "N5"],
        "U2": ["N1"],
        "U3": ["N3", "N3"],
    }
    first, _, click, *_ = rows(tmp_path / "out")
    assert first == {
        "user_id": "U1",
        "item_id": "N1",
        "position": 0,
        "event": "history",
        "clicked_at": None,
        "impression_id": None,
    }
    assert (click["event"], click["clicked_at"], click["impression_id"]) == ("click", 1573427158.0, "2")
    assert column(tmp_path / "out", "clicked_at")[6] == 1573257600.0
    assert done.interactions == 9
    assert "ordered by position" in done.remarks[0]


def test_news_are_not_quoted(tmp_path):
    lines = [
        'N1\tnews\tus\t"We will win" says coach\tHe said so\thttps://x/1\t[]\t[]',
        'N2\tnews\tnews\tA 5" hail\t\thttps://x/2\t[]\t[]',
        "N3\thealth\t\tTen ways\tto eat\thttps://x/3\t\t",
    ]
    files = {
        "news.tsv": "\n".join(lines) + "\n",
        "behaviors.tsv": behaviors(("U1", "11/11/2019 9:05:58 AM", "N1 N2", "N3-1")),
    }
    import_dataset("mind", write(tmp_path, files), tmp_path / "out")
    assert rows(tmp_path / "out", "items") == [
        {
            "item_id": "N1",
            "title": '"We will win" says coach',
            "categories": ["news", "us"],
            "description": "He said so",
        },
        {"item_id": "N2", "title": 'A 5" hail', "categories": ["news"], "description": None},
        {"item_id": "N3", "title": "Ten ways", "categories": ["health"], "description": "to eat"},
    ]


def test_headers_are_recognised(tmp_path):
    files = {
        "news.tsv": "news_id\tcategory\tsubcategory\ttitle\tabstract\turl\ttitle_entities\tabstract_entities\n"
        + news(1, 2),
        "behaviors.tsv": "impression_id\tuser_id\ttime\thistory\timpressions\n"
        + behaviors(("U1", "11/11/2019 9:05:58 AM", "N1", "N2-1")),
    }
    done = import_dataset("mind", write(tmp_path, files), tmp_path / "out")
    assert (done.items, done.interactions) == (2, 2)


def parts(wanted):
    made = {
        "train": (
            behaviors(
                ("U1", "11/11/2019 9:05:58 AM", "N1 N2", "N3-1"), ("U2", "11/12/2019 9:00:00 AM", "N2", "N1-1 N3-0")
            ),
            news(1, 2, 3),
        ),
        "dev": (
            behaviors(("U1", "11/15/2019 9:05:58 AM", "N1 N2", "N4-1"), ("U9", "11/15/2019 9:05:58 AM", "N2", "N4-1")),
            news(2, 3, 4),
        ),
        "test": (behaviors(("U1", "11/16/2019 9:05:58 AM", "N1 N2 N3", "N4 N5")), news(4, 5)),
    }
    return {name: {"behaviors.tsv": made[name][0], "news.tsv": made[name][1]} for name in wanted}


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("form", ["folders", "zips", "zips with folders"])
def test_parts_have_a_split_and_unlabelled_impressions_are_counted(tmp_path, form):
    found = parts(["train", "dev", "test"])
    match form:
        case "folders":
            files = {f"MINDsmall_{part}/{name}": text for part in found for name, text in found[part].items()}
        case "zips":
            files = {f"MINDsmall_{part}.zip": zipped(found[part]) for part in found}
        case _:
            files = {
                f"MINDlarge_{part}.zip": zipped(
                    {f"MINDlarge_{part}/{name}": text for name, text in found[part].items()}
                )
                for part in found
            }
    done = import_dataset("mind", write(tmp_path / "raw", files), tmp_path / "out")
    assert done.left_out == {"item without interactions": 1, "impression without labels": 1}
    assert done.items == 4
    assert [(row["user_id"], row["item_id"], row["split"]) for row in rows(tmp_path / "out")] == [
        ("U1", "N1", "train"),
        ("U1", "N2", "train"),
        ("U1", "N3", "train"),
        ("U1", "N4", "valid"),
        ("U2", "N2", "train"),
        ("U2", "N1", "train"),
        ("U9", "N2", "history"),
        ("U9", "N4", "valid"),
    ]
    catalog = Catalog.read(tmp_path / "out" / "items.parquet", text=["title"])
    split = predefined_split(Interactions.read(tmp_path / "out" / "interactions.parquet", catalog))
    assert [split.train.row(n).tolist() for n in range(len(split.train))] == [[0, 1, 2], [1, 0]]
    assert split.validation.histories.row(1).tolist() == [1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"behaviors.tsv": "1\tU1\t31/12/2019\tN1\tN2-1\n"},
            r"behaviors.tsv, row 1, column 'time': no time '31/12/2019'",
        ),
        (
            {"behaviors.tsv": behaviors(("U1", "11/11/2019 9:05:58 AM", "N1", "N2-1 N3-2"))},
            "no label 'N3-2'; each news",
        ),
        (
            {"behaviors.tsv": behaviors(("U1", "11/11/2019 9:05:58 AM", "N1", "N2 N3"))},
            "no impression in behaviors.tsv",
        ),
        ({"behaviors.tsv": behaviors(("U1", "11/11/2019 9:05:58 AM", "N1 N2-1"))}, "line 1: too few fields"),
        ({"a_dev/behaviors.tsv": "", "b_dev/behaviors.tsv": ""}, "two of a_dev, b_dev are the same part"),
        ({"a/behaviors.tsv": "", "b_dev/behaviors.tsv": ""}, "a does not end with train, dev or test"),
        ({"x/news.tsv": ""}, "there is no behaviors.tsv, folders of parts or their zip files in this folder"),
    ],
)
def test_files_that_are_otherwise(tmp_path, files, message):
    folder = write(tmp_path / "raw", {**({"news.tsv": news(1, 2, 3)} if "behaviors.tsv" in files else {}), **files})
    with pytest.raises(DataError, match=message) as caught:
        import_dataset("mind", folder, tmp_path / "out")
    assert "\n" not in str(caught.value)

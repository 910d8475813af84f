from __future__ import annotations

import gzip

import pytest

from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import column, histories, json_lines, rows, write


def review(item, time, **more):
    return {"reviewerID": "A0", "asin": item, "overall": 5.0, "unixReviewTime": time, **more}


SCRIPT = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"
TITLES = {
    "B0": "Widget 0",
    "B1": SCRIPT,
    "B2": '<span id="productTitle">Nice &amp; soft</span>',
    "B3": "<!-- x --><script>var x=1;</script>Real",
    "B4": "",
    "B5": ".a-box-inner{background-color:#fff}#buybox .selected{border:1px}",
}


def test_titles_that_are_page_scripts_are_none(tmp_path):
    reviews = [review(item, 1400000000 + 86400 * number) for number, item in enumerate(TITLES)]
    items = [
        {
            "asin": item,
            "title": title,
            "brand": "",
            "category": ["Home", "Kitchen"],
            "description": ['<div class="a">Soft<br>'],
            "price": "$1,299.00 - $2,000.00",
        }
        for item, title in TITLES.items()
    ]
    files = {
        "X_5.json.gz": gzip.compress(json_lines(reviews)),
        "meta_X.json.gz": gzip.compress(json_lines(items)),
    }
    import_dataset("amazon-2018", write(tmp_path / "raw", files), tmp_path / "out")
    titles = dict(zip(column(tmp_path / "out", "item_id", "items"), column(tmp_path / "out", "title", "items")))
    assert titles == {"B0": "Widget 0", "B1": None, "B2": "Nice & soft", "B3": "Real", "B4": None, "B5": None}
    assert set(column(tmp_path / "out", "description", "items")) == {"Soft"}
    assert set(column(tmp_path / "out", "price", "items")) == {None}


def test_an_item_whose_texts_are_all_scripts_has_no_text(tmp_path):
    files = {
        "X_5.json": json_lines([review("B1", 1400000000), review("B2", 1400000001)]),
        "meta_X.json": json_lines(
            [{"asin": "B1", "title": SCRIPT, "category": [], "description": [SCRIPT]}, {"asin": "B2", "title": "Pan"}]
        ),
    }
    done = import_dataset("amazon-2018", write(tmp_path / "raw", files), tmp_path / "out")
    assert done.left_out == {"item without text": 1, "interaction with an item without text": 1}
    assert histories(tmp_path / "out") == {"A0": ["B2"]}


@pytest.mark.parametrize(
    ("release", "given", "kept"),
    [
        ("amazon-2018", {"verified": True, "vote": "3"}, {"verified": True}),
        (
            "amazon-2023",
            {"verified_purchase": False, "helpful_vote": 2},
            {"verified_purchase": False, "helpful_vote": 2.0},
        ),
    ],
)
def test_columns_of_reviews_that_are_kept(tmp_path, release, given, kept):
    old = release == "amazon-2018"
    record = (
        review("B0", 1400000000, **given)
        if old
        else {"user_id": "A0", "parent_asin": "B0", "rating": 5.0, "timestamp": 1400000000000, **given}
    )
    files = {
        f"X{'_5' if old else ''}.jsonl": json_lines([record]),
        "meta_X.jsonl": json_lines([{"asin": "B0", "parent_asin": "B0", "title": "Pan"}]),
    }
    import_dataset(release, write(tmp_path / "raw", files), tmp_path / "out")
    event = {"user_id": "A0", "item_id": "B0", "time": 1400000000.0, "rating": 5.0, **kept}
    assert rows(tmp_path / "out") == [event]

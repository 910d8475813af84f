from __future__ import annotations

import io
import zipfile

import pytest

from lexirec.core.errors import DataError
from lexirec.data.importers.registry import import_dataset
from tests.data.importers.reading import histories, rows, write

FILES = {
    "events.csv": "timestamp,visitorid,event,itemid,transactionid\n"
    "1433221332117,257597,view,355908,\n"
    "1433221332000,257597,addtocart,248676,\n"
    "1433224214164,992329,transaction,355908,7\n"
    "1433224214164,992329,view,1,\n",
    "item_properties_part1.csv": "timestamp,itemid,property,value\n"
    "1435460400000,355908,categoryid,1016\n"
    "1441508400000,355908,888,1116713 960601 n277.200\n"
    "1439089200000,355908,790,n15360.000\n"
    "1441508400000,248676,categoryid,5\n",
    "item_properties_part2.csv": "timestamp,itemid,property,value\n"
    "1439089200001,355908,790,n9.000\n"
    "1431226800000,355908,790,n1.000\n"
    "1431226800000,355908,available,0\n"
    "1431226800001,355908,available,1\n",
    "category_tree.csv": "categoryid,parentid\n1016,213.0\n213,\n9,10\n10,9\n",
}


def check(folder):
    assert rows(folder, "items") == [
        {
            "item_id": "355908",
            "title": "category 1016",
            "categories": ["category 213", "category 1016"],
            "description": "790: n9.000; 888: 1116713 960601 n277.200",
            "available": 1,
        },
        {
            "item_id": "248676",
            "title": "category 5",
            "categories": ["category 5"],
            "description": None,
            "available": None,
        },
    ]
    assert histories(folder) == {"257597": ["248676", "355908"], "992329": ["355908"]}
    assert rows(folder)[2] == {
        "user_id": "992329",
        "item_id": "355908",
        "time": 1433224214.164,
        "event": "transaction",
        "transaction_id": "7",
    }


def test_events_texts_and_latest_properties(tmp_path):
    done = import_dataset("retailrocket", write(tmp_path / "raw", FILES), tmp_path / "out")
    check(tmp_path / "out")
    assert done.left_out == {"interaction with an item without text": 1}
    assert "each with its latest value" in done.remarks[0]


def test_the_zip_file(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    import_dataset("retailrocket", write(tmp_path / "raw", {"archive.zip": content.getvalue()}), tmp_path / "out")
    check(tmp_path / "out")


def test_bad_rows(tmp_path):
    files = {**FILES, "item_properties_part2.csv": "timestamp,itemid,property,value\nyesterday,1,790,n1\n"}
    with pytest.raises(DataError, match=r"part2\.csv, row 1, column 'timestamp': no time"):
        import_dataset("retailrocket", write(tmp_path / "raw", files), tmp_path / "out")
    files = {**FILES, "events.csv": "timestamp,visitorid,event,itemid\n1,2,3,4\n"}
    with pytest.raises(
        DataError, match=r"events\.csv: there is no column 'transactionid'; the columns are timestamp, "
    ):
        import_dataset("retailrocket", write(tmp_path / "other", files), tmp_path / "out")
    files = {"events.csv": FILES["events.csv"], "category_tree.csv": FILES["category_tree.csv"]}
    with pytest.raises(DataError, match=r"there is no item_properties_part1\.csv in this folder\."):
        import_dataset("retailrocket", write(tmp_path / "less", files), tmp_path / "out")

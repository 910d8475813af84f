from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW


@pytest.fixture
def work():
    with Workspace() as work:
        yield work


def test_the_scratch_folder_vanishes():
    with Workspace() as work:
        work.run("CREATE TABLE t AS SELECT 1 AS a")
        assert any(work.folder.iterdir())
    assert not work.folder.exists()


def test_memory_has_a_limit(work):
    ((limit,),) = work.rows("SELECT current_setting('memory_limit')")
    assert limit.endswith(("GiB", "MiB"))
    ((spill,),) = work.rows("SELECT current_setting('temp_directory')")
    assert spill == str(work.folder / "spill")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.jsonl"])
def test_rows_are_numbered_in_file_order(work, tmp_path, name):
    n = 300_000 if name == "t.parquet" else 3_000
    path = tmp_path / name
    if name == "t.parquet":
        pq.write_table(pa.table({"v": range(n)}), path, row_group_size=10_000)
    elif name == "t.jsonl":
        path.write_text("".join(f'{{"v": {i}}}\n' for i in range(n)))
    else:
        text = ("v,w\n" + "".join(f"{i},x\n" for i in range(n))).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    source = work.open(path)
    value = source.columns["v"].number()
    assert work.rows(f"SELECT count(*), count(*) FILTER ({value} = {ROW} - 1) FROM {source.scan}") == [(n, n)]


def test_columns_know_what_they_hold(work, tmp_path):
    (tmp_path / "t.jsonl").write_text(
        '{"id": 1, "names": ["a", 2], "odd key\\"": "x", "when": "1970-01-02"}\n'
        '{"id": "b", "names": "c"}\n{"names": null}\n'
    )
    source = work.open(tmp_path / "t.jsonl")
    assert [column.is_list for column in source.columns.values()] == [False, True, False, False]
    read = ", ".join(
        [
            source.columns["id"].text,
            source.columns["names"].texts,
            source.columns['odd key"'].text,
            source.columns["when"].number(),
            source.columns["id"].number(),
        ]
    )
    assert work.rows(f"SELECT {read} FROM {source.scan}") == [
        ("1", ["a", "2"], "x", None, 1.0),
        ("b", ["c"], None, None, None),
        (None, None, None, None, None),
    ]


def test_names_with_quotes_are_safe(work, tmp_path):
    path = tmp_path / "it's.csv"
    path.write_text('"user\'s ""id""",b\n1,2\n')
    source = work.open(path)
    assert list(source.columns) == ['user\'s "id"', "b"]
    assert work.rows(f"SELECT {source.columns[chr(98)].text} FROM {source.scan}") == [("2",)]

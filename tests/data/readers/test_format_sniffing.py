from __future__ import annotations

import pytest

from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.format_sniffing import sniff_format

BOOKS = (
    '"ISBN";"Book-Title";"Book-Author"\n"01";"Grüße";"A. Writer"\n"02";"The \\"Best\\"; of";"B. Writer"\n'
    '"03";"Plain";"C. Writer"\n'
)


def sniffed(tmp_path, content, name="t.csv"):
    (tmp_path / name).write_bytes(content)
    with Workspace() as work:
        format, remarks = sniff_format(work, tmp_path / name)
    return format.model_dump(exclude_defaults=True), remarks


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (BOOKS.encode("cp1252"), {"encoding": "cp1252", "escape": "\\"}),
        (BOOKS.encode("utf-8"), {"escape": "\\"}),
        (BOOKS.replace('\\"', '""').encode("utf-8"), {}),
        (BOOKS.replace('\\"', '""').encode("utf-16"), {}),
        (b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", {"header": False}),
        (b"a0,Red river,4.5\na1,Blue moon,3\n", {"header": False}),
        (b"item_id,title,2019\na1,Blue moon,3\n", {"header": False}),
        (b"item_id,title\na0,Red river\n", {}),
        (b'item_id,title\na0,"Red" river\na1,Blue moon\n', {"quote": ""}),
        (b'item_id,title\na0,"Red, river"\na1,"Blue\nmoon"\n', {}),
    ],
)
def test_what_is_unusual_about_a_file_is_found_and_said(tmp_path, content, wanted):
    format, remarks = sniffed(tmp_path, content)
    assert format == wanted
    assert len(remarks) == len(wanted)


def test_the_remark_on_an_encoding_shows_words_to_judge_by(tmp_path):
    _, remarks = sniffed(tmp_path, BOOKS.encode("latin-1"))
    assert "'Grüße'" in remarks[0]


def test_other_kinds_of_files_have_the_usual_format(tmp_path):
    assert sniffed(tmp_path, b'{"a": 1}\n', "t.jsonl") == ({}, [])

"""The log of facts: readers and writers agree, torn ends are dropped, damage is told, compaction changes nothing."""

from __future__ import annotations

import json

import pytest

from lexirec.core.errors import ArtifactError
from lexirec.models import facts_file
from lexirec.models.facts_file import FIRST_LOG, TABLE, FactsChange, FactsFile


def write(file: FactsFile, *changes: FactsChange) -> None:
    with file.writing() as add:
        for change in changes:
            add(change)


def price(item: str, value: float) -> FactsChange:
    return FactsChange({item: {"price": value}})


def read(folder) -> FactsFile:
    file = FactsFile(folder)
    file.catch_up()
    return file


def test_another_reader_sees_what_was_written_and_only_the_news(tmp_path):
    writer, reader = FactsFile(tmp_path), FactsFile(tmp_path)
    write(writer, price("a", 1.0), FactsChange(hidden=("b", "c")))
    first = reader.catch_up()
    assert (reader.values, reader.hidden) == ({"a": {"price": 1.0}}, {"b", "c"})
    write(writer, FactsChange({"a": {"size": "ü\n"}}, shown=("b",)))
    second = reader.catch_up()
    assert reader.changes_after(first) == [FactsChange({"a": {"size": "ü\n"}}, (), ["b"])]
    assert reader.changes_after(second) == []
    assert reader.changes_after(None) is None
    assert reader.values == {"a": {"price": 1.0, "size": "ü\n"}}
    assert reader.hidden == {"c"}
    assert {name: +kinds for name, kinds in reader.kinds.items()} == {"price": {"fraction": 1}, "size": {"text": 1}}


def test_the_signature_differs_after_every_change(tmp_path):
    writer, reader = FactsFile(tmp_path), FactsFile(tmp_path)
    seen = {reader.signature()}
    for number in range(3):
        write(writer, price("a", float(number)))
        seen.add(reader.signature())
    writer.compact()
    reader.catch_up()
    seen.add(reader.signature())
    assert len(seen) == 5


@pytest.mark.parametrize("torn", [b"0", b"00000000 {}", b'deadbeef {"values"', b"deadbeef {}\n", b"\0\0\0\0\n\0"])
def test_a_torn_end_is_dropped_and_cut_off_by_the_next_writer(tmp_path, torn):
    write(FactsFile(tmp_path), price("a", 1.0))
    with (tmp_path / FIRST_LOG).open("ab") as log:
        log.write(torn)
    assert read(tmp_path).values == {"a": {"price": 1.0}}
    write(FactsFile(tmp_path), price("b", 2.0))
    assert read(tmp_path).values == {"a": {"price": 1.0}, "b": {"price": 2.0}}
    assert b"deadbeef" not in (tmp_path / FIRST_LOG).read_bytes()


def test_damage_in_the_middle_is_told(tmp_path):
    write(FactsFile(tmp_path), price("a", 1.0), price("b", 2.0))
    log = tmp_path / FIRST_LOG
    log.write_bytes(log.read_bytes().replace(b'"a"', b'"x"'))
    with pytest.raises(ArtifactError, match=r"facts-0\.jsonl is damaged in the middle"):
        read(tmp_path)
    log.unlink()
    (tmp_path / TABLE).write_text("{}x")
    with pytest.raises(ArtifactError, match=r"facts\.json is damaged"):
        read(tmp_path)


def test_a_large_log_becomes_the_table_and_nothing_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(facts_file, "LARGE", 2_000)
    writer, reader = FactsFile(tmp_path), FactsFile(tmp_path)
    position = None
    for number in range(200):
        hidden = FactsChange(hidden=(f"i{number % 7}",)) if number % 2 else FactsChange(shown=(f"i{number % 5}",))
        write(writer, price(f"i{number % 30}", float(number)), hidden)
        position = reader.catch_up()
        assert (reader.values, reader.hidden) == (writer.values, writer.hidden)
    assert position.reading > 2
    logs = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert logs == [json.loads((tmp_path / TABLE).read_text())["log"]]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 12_000
    again = read(tmp_path)
    assert (again.values, again.hidden) == (writer.values, writer.hidden)
    assert {name: +kinds for name, kinds in again.kinds.items()} == {
        name: +kinds for name, kinds in writer.kinds.items()
    }


def test_killed_between_the_table_and_the_old_log_nothing_counts_twice(tmp_path):
    writer = FactsFile(tmp_path)
    write(writer, FactsChange(hidden=("a",)))
    old = (tmp_path / FIRST_LOG).read_bytes()
    writer.compact()
    (tmp_path / FIRST_LOG).write_bytes(old)  # it was not removed any more
    write(FactsFile(tmp_path), FactsChange(shown=("a",)))
    assert read(tmp_path).hidden == set()
    writer.catch_up()
    writer.compact()
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["facts-2.jsonl"]


def test_a_table_of_an_earlier_version_is_read_and_added_to(tmp_path):
    (tmp_path / TABLE).write_text(json.dumps({"values": {"a": {"price": 3.0}}, "hidden": ["b"]}))
    write(FactsFile(tmp_path), price("c", 1.0))
    found = read(tmp_path)
    assert (found.values, found.hidden) == ({"a": {"price": 3.0}, "c": {"price": 1.0}}, {"b"})


def test_what_could_not_be_written_is_not_kept_either(tmp_path, monkeypatch):
    writer = FactsFile(tmp_path)
    write(writer, price("a", 1.0))
    before = writer.catch_up()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(facts_file.os, "fdatasync", full)
    with pytest.raises(ArtifactError, match=r"the disk is full.*the changes are not kept"):
        write(writer, price("a", 2.0))
    monkeypatch.undo()
    assert writer.changes_after(writer.catch_up()) == []
    assert writer.changes_after(before) is None, "who saw the change reads everything again"
    assert writer.values == read(tmp_path).values == {"a": {"price": 1.0}}

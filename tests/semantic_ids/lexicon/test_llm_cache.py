import logging
import threading

import pytest

from lexirec.core.errors import DataError
from lexirec.semantic_ids.lexicon.llm_cache import FILE, AnswerFile, AnswerLine, make_folder, question_key


def line(key, text="so"):
    return AnswerLine(key=key, about="<a_1>", model="stub", text=text)


def test_lines_come_back_as_they_were_written(tmp_path):
    written = [line("1", 'two\nlines, "quotes", ü, \u2028'), line("2", None)]
    with AnswerFile(tmp_path) as file:
        for one in written:
            file.add(one)
        assert list(file.lines()) == written
    with AnswerFile(tmp_path) as file:
        file.add(written[0])
        assert list(file.lines()) == [*written, written[0]]


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_torn_line_costs_itself_alone(tmp_path, cut, caplog):
    with AnswerFile(tmp_path) as file:
        file.add(line("1"))
        file.add(line("2"))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-cut])
    with AnswerFile(tmp_path) as file, caplog.at_level(logging.WARNING):
        file.add(line("3"))
        found = [one.key for one in file.lines()]
    assert found == (["1", "2", "3"] if cut == 1 else ["1", "3"])  # one byte is the line break: the line is whole
    assert ("torn" in caplog.text) == (cut > 1)


def test_a_changed_answer_is_not_taken_for_the_models(tmp_path, caplog):
    with AnswerFile(tmp_path) as file:
        for key in "123":
            file.add(line(key, "a steel hammer"))
    path = tmp_path / FILE
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b"steel", b"steal") + third)
    with AnswerFile(tmp_path) as file, caplog.at_level(logging.WARNING):
        assert [one.key for one in file.lines()] == ["1", "3"]
    assert "skipped 1 incomplete or damaged lines" in caplog.text


def test_lines_of_an_earlier_version_have_no_digest_and_are_read(tmp_path):
    (tmp_path / FILE).write_text('{"key": "1", "about": "<a_1>", "model": "m", "text": "x"}\n')
    with AnswerFile(tmp_path) as file:
        assert [one.text for one in file.lines()] == ["x"]


def test_threads_do_not_tear_each_others_lines(tmp_path):
    with AnswerFile(tmp_path) as file:
        threads = [
            threading.Thread(target=lambda n=n: [file.add(line(f"{n}-{i}", "x" * 3000)) for i in range(10)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {one.key for one in file.lines()} == {f"{n}-{i}" for n in range(4) for i in range(10)}


def test_a_folder_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be kept in .*file"):
        make_folder(tmp_path / "file")


def test_keys_follow_the_content_alone():
    assert question_key({"a": 1, "b": "ü"}) == question_key({"b": "ü", "a": 1}) != question_key({"a": 1, "b": "u"})

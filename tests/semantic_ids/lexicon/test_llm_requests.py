import json
import logging
import re
import time

import pytest

from lexirec.semantic_ids.lexicon.llm_cache import FILE
from lexirec.semantic_ids.lexicon.llm_clients import Reply, UnansweredError, connect
from lexirec.semantic_ids.lexicon.llm_prompts import Question
from lexirec.semantic_ids.lexicon.llm_requests import LabelingError, estimate, request_labels
from lexirec.semantic_ids.lexicon.llm_settings import CallSettings, LLMLexicon
from tests.worlds.stub_llm import GOOD, good, reply, serving

RATE = {"error": {"message": "too many"}}


def questions(many):
    return [Question(0, n, 1, f"<a_{n}>", f"prompt {n}") for n in range(many)]


def settings(address, **calls):
    usual = {"first_wait": 0.001, "longest_wait": 0.01, "timeout": 30, "retries": 3}
    return LLMLexicon(client="openai", model="stub", base_url=address, keywords=3, calls=CallSettings(**usual | calls))


def ask(act, many, folder, **calls):
    """Return the answers or the error's words, and the stub."""
    with serving(act) as (stub, address):
        try:
            return request_labels(questions(many), connect, settings(address, **calls), folder), stub
        except LabelingError as error:
            return str(error), stub


def stored(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_second_run_asks_nothing_and_needs_no_teacher(tmp_path):
    answers, stub = ask(good, 5, tmp_path)
    assert [answer.keywords for answer in answers] == [["hammer", "steel nail", "drill"]] * 5
    assert set(stub.asked.values()) == {1}

    def nobody(_):
        raise AssertionError("asked")

    assert request_labels(questions(5), nobody, settings("http://elsewhere/v1"), tmp_path) == answers


def test_questions_alike_are_asked_once(tmp_path):
    with serving(good) as (stub, address):
        twins = [Question(level, 0, 1, "<a_0>", "the same") for level in range(3)]
        assert len(request_labels(twins, connect, settings(address), tmp_path)) == 3
    assert stub.asked == {"the same": 1}


def test_another_model_or_temperature_is_another_question(tmp_path):
    with serving(good) as (stub, address):
        given = settings(address)
        for change in ({}, {"model": "other"}, {"temperature": 0.7}, {"base_url": address + "/"}):
            request_labels(questions(1), connect, given.model_copy(update=change), tmp_path)
    assert sum(stub.asked.values()) == 3  # the address does not matter


@pytest.mark.parametrize(
    "bad",
    [
        None,  # a time-out
        (429, {}, RATE),
        (500, {}, {}),
        (200, {}, b'{"choices": [{"mess'),
        (200, {}, reply(GOOD[:40], "length")),
        (200, {}, reply('{"words": ["a"]}')),
        (200, {}, reply("I would rather not.")),
    ],
)
def test_every_misfortune_is_met_by_asking_again(tmp_path, bad):
    timeout = 30 if bad else 0.5
    answers, stub = ask(lambda q, times: bad if times < 3 else good(q, times), 3, tmp_path, timeout=timeout)
    assert len(answers) == 3
    assert set(stub.asked.values()) == {3}
    lines = stored(tmp_path)
    assert len(lines) == 9  # every attempt is on record, with its reason where it failed
    assert sum("reason" in line for line in lines) == 6
    if bad and bad[0] == 200 and isinstance(bad[2], dict):
        said = bad[2]["choices"][0]["message"]["content"]
        assert sum(line.get("text") == said for line in lines) == 6


def test_a_malformed_answer_is_shown_to_its_model_with_the_reason(tmp_path):
    _, stub = ask(lambda q, times: (200, {}, reply("No.")) if times == 1 else good(q, times), 1, tmp_path)
    roles = [message["role"] for message in stub.bodies[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert stub.bodies[1]["messages"][1]["content"] == "No."
    assert "there is no JSON object in it" in stub.bodies[1]["messages"][2]["content"]


class Busy:
    """A client that once asks one of its callers to wait."""

    def __init__(self):
        self.times, self.refused = [], 0.0

    def answer(self, messages):
        self.times.append(time.monotonic())
        if len(self.times) == 3:
            self.refused = time.monotonic()
            raise UnansweredError("busy", "later", 0.5)
        time.sleep(0.01)
        return Reply(GOOD)


def test_retry_after_holds_everybody_back(tmp_path):
    busy = Busy()
    assert len(request_labels(questions(12), lambda _: busy, settings(None, concurrency=3), tmp_path)) == 12
    assert len(busy.times) == 13
    assert not any(busy.refused + 0.25 < called < busy.refused + 0.5 for called in busy.times)
    assert any(called > busy.refused + 0.5 for called in busy.times)


def test_waits_double_with_jitter_up_to_the_longest(tmp_path):
    _, stub = ask(lambda q, t: (500, {}, {}), 1, tmp_path, first_wait=0.1, longest_wait=0.25, retries=3)
    gaps = [later - earlier for earlier, later in zip(stub.times, stub.times[1:], strict=False)]
    for gap, wait in zip(gaps, (0.1, 0.2, 0.25), strict=True):
        assert 0.5 * wait <= gap < wait + 2  # a busy machine takes its time


def test_no_more_questions_are_on_their_way_than_allowed(tmp_path):
    def act(question, times):
        time.sleep(0.05)
        return good(question, times)

    _, stub = ask(act, 12, tmp_path, concurrency=3)
    assert 1 < stub.most_running <= 3


def test_after_all_attempts_one_line_counts_and_a_rerun_asks_only_what_is_missing(tmp_path):
    def act(question, times):
        return (200, {}, reply("{")) if question in ("prompt 2", "prompt 4") else good(question, times)

    said, stub = ask(act, 6, tmp_path, retries=1)
    assert re.fullmatch(
        r"the model 'stub' gave no usable answer for 2 of 6 tokens; the first is <a_[24]>: its JSON is cut off or "
        r"broken. All answers are in .*answers\.jsonl; run again to ask only for the missing ones",
        said,
    )
    assert (stub.asked["prompt 2"], stub.asked["prompt 0"]) == (2, 1)
    answers, again = ask(good, 6, tmp_path)
    assert len(answers) == 6
    assert again.asked == {"prompt 2": 1, "prompt 4": 1}
    assert sum(line["text"] == "{" for line in stored(tmp_path)) == 4  # kept all the same


def test_a_refused_key_ends_the_run_at_once(tmp_path):
    said, stub = ask(lambda q, t: (401, {}, {"error": {"message": "wrong key"}}), 50, tmp_path, concurrency=2)
    assert sum(stub.asked.values()) <= 4
    assert "wrong key" in said
    assert "were not asked" in said


def test_an_endpoint_that_is_gone_is_not_asked_for_every_token(tmp_path):
    said, stub = ask(lambda q, t: (500, {}, {}), 100, tmp_path, concurrency=1, retries=0)
    assert sum(stub.asked.values()) == 8
    assert "no usable answer for 8 of 100 tokens, and 92 were not asked" in said


def test_what_one_question_cannot_have_stops_no_other(tmp_path):
    said, stub = ask(lambda q, t: (400, {}, RATE) if q == "prompt 1" else good(q, t), 4, tmp_path)
    assert "no usable answer for 1 of 4" in said
    assert stub.asked == {f"prompt {n}": 1 for n in range(4)}


def test_a_bug_in_a_client_is_not_taken_for_an_answer(tmp_path):
    class Broken:
        def answer(self, messages):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        request_labels(questions(20), lambda _: Broken(), settings(None), tmp_path)


def test_the_cost_is_estimated_before_the_first_call(tmp_path, caplog):
    given = settings(None, input_price=2.0, output_price=8.0)
    asked = [Question(0, n, 1, "", "x" * 4000) for n in range(1000)]
    assert estimate(asked, 5, given) == (
        "stub: 1,000 questions (5 more are cached), about 1,000,000 input tokens and 168,400 output tokens, "
        "cost about 3.35 at the configured prices"
    )
    assert estimate(asked, 0, settings(None)).endswith("output tokens")
    with caplog.at_level(logging.INFO):
        ask(good, 2, tmp_path)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("llm_requests")]
    assert lines[0].startswith("stub: 2 questions, about ")
    assert lines[-1] == "stub: used 200 input tokens and 40 output tokens"

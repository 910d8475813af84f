import io
import logging
import sys
import threading

import pytest

from lexirec.core import progress
from lexirec.core.progress import Progress, quiet, report_progress_to, track


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "lexirec.core.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def test_track_yields_everything_and_finds_the_length():
    assert list(track([3, 1, 2], "reading")) == [3, 1, 2]
    assert list(track(iter("ab"), "reading")) == ["a", "b"]


def test_short_work_is_silent(clock, lines):
    for _ in track(range(1000), "short"):
        clock.now += 0.001
    assert lines() == []


def test_long_work_logs_at_most_every_five_seconds(clock, lines):
    for _ in track(range(40), "training"):
        clock.now += 0.5
    assert lines()[0].startswith("training: 4 of 40 (10%), 18 s left")
    assert len(lines()) == 5  # at 2, 7, 12 and 17 of 20 seconds, and the end
    assert lines()[-1] == "training: done in 20 s"


def test_text_and_unknown_total_are_shown(clock, lines):
    with Progress("reading") as work:
        work.update("loss 1.5")
        clock.now += 3
        work.advance(2000)
    assert lines()[0] == "reading: 2,000; loss 1.5"


def test_a_failure_does_not_claim_to_be_done(clock, lines):
    def work() -> None:
        for _ in track([1, 2], "reading"):
            clock.now += 3
            if len(lines()) == 1:
                raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert len(lines()) == 1


def test_quiet_shows_nothing(clock, lines):
    with quiet(), Progress("reading") as work:
        clock.now += 30
        work.advance()
    assert lines() == []


def test_a_thread_that_is_quiet_silences_itself_alone(clock, lines):
    begun, done = threading.Event(), threading.Event()

    def silent() -> None:
        with quiet():
            begun.set()
            done.wait(30)

    other = threading.Thread(target=silent)
    other.start()
    begun.wait(30)
    with Progress("reading") as work:
        clock.now += 30
        work.advance()
    done.set()
    other.join()
    assert len(lines()) == 2


def test_bars_nest_on_a_terminal_and_leave_no_display_behind(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("outer", 2) as outer, Progress("inner", 4) as inner:
        inner.advance(4)
        inner.update("nearly")
        outer.advance()
        board = progress._board.rich
        assert board is not None
        assert [task.description for task in board.tasks] == ["outer", "inner"]
        assert [task.completed for task in board.tasks] == [1, 4]
        board.refresh()
        assert "inner" in sys.stderr.getvalue()
    assert progress._board.rich is None


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (75, "1 min 15 s"), (3725, "1 h 02 min")])
def test_durations_are_readable(seconds, text):
    assert progress._duration(seconds) == text


def test_parts_of_larger_work_are_reported_and_not_shown(clock, lines):
    heard = []
    with report_progress_to(heard.append):
        for _ in track([1, 2], "training"):
            clock.now += 9
            with quiet():
                list(track([1], "silent"))
    with Progress("alone") as after:
        after.advance()
    assert heard == ["training 50 %", "training 100 %"]
    assert lines() == []


def test_the_time_left_is_as_the_work_expects_it(clock, lines):
    with Progress("study", total=4) as work:
        clock.now += 3
        work.update("run 1", left=90)
        clock.now += 9
        work.advance()
    assert lines()[:2] == ["study: 0 of 4 (0%), 1 min 30 s left; run 1", "study: 1 of 4 (25%), 1 min 30 s left; run 1"]

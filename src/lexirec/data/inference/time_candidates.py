"""Columns that may hold the times of events, by their values: what `lexirec.data.inference.times` chooses from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lexirec.core.errors import DataError
from lexirec.data.inference.time_names import UNSAID, rank_of, sounds_like_number, sounds_like_time
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Column, Source
from lexirec.data.readers.time_recognition import HALF, PER_SECOND, SAMPLE, Recognised, TimeUnit, filled, recognise
from lexirec.data.readers.times import (
    CLEAR,
    SAMPLE_SIZE,
    TimeOptions,
    TimeReading,
    given_format,
    is_typed,
    read_times,
    sample_values,
    settle,
)

ASK = "(lexirec init: --time-column)"
_UNITS: tuple[TimeUnit, ...] = tuple(PER_SECOND)


@dataclass(frozen=True)
class Candidate:
    """A column whose values are times, or look like times that cannot be read.

    Attributes:
        column: The column.
        found: What its values are.
        missing: Share of the events without a value.
        distinct: Number of different values, of a sample.
    """

    column: Column
    found: Recognised
    missing: float
    distinct: int

    @property
    def problem(self) -> str:
        """Why the column cannot order the events without a decision by the user; "" if it can."""
        if self.found.problem or self.found.share >= CLEAR:
            return self.found.problem
        return (
            f"{1 - self.found.share:.0%} of the values, such as '{self.found.example}', are not written as the others;"
            f" mend them, or choose a column of times {ASK}, which rejects these rows"
        )

    @property
    def rank(self) -> tuple[bool, tuple[int, int], int]:
        """Position among candidates: those that most events have, then by name, then by different values."""
        return self.missing > HALF, rank_of(self.column.name), -self.distinct


@dataclass
class Candidates:
    """The columns of a table of events that may hold times.

    Attributes:
        work: The workspace that opened the file.
        events: The file.
        taken: Columns that hold something else.
        options: How times are written.
        remarks: Notes for the user on columns that are none, a sentence each.
    """

    work: Workspace
    events: Source
    taken: tuple[Column, ...]
    options: TimeOptions
    remarks: list[str] = field(default_factory=list)

    def all(self) -> list[Candidate]:
        """Return the columns that hold times, or seem to, likeliest first."""
        taken = {each.name for each in self.taken}
        columns = [each for each in self.events.columns.values() if each.name not in taken and not each.is_list]
        named = zip(columns, self._sample(columns), strict=True)
        found = [self._candidate(column, name, trusted=False) for column, name in named]
        return sorted((each for each in found if each is not None), key=lambda each: each.rank)

    def named(self, column: Column) -> Candidate | None:
        """Return the column that the user named, whatever it holds; None if it holds nothing."""
        return self._candidate(column, self._sample([column])[0], trusted=True)

    def _sample(self, columns: list[Column]) -> list[str]:
        """Sample the columns into the table `event_sample` and return their names in it."""
        names = [f"c{n}" for n in range(len(columns))]
        texts = "".join(f", {column.text} AS {name}" for column, name in zip(columns, names, strict=True))
        self.work.run(
            f"CREATE OR REPLACE TEMP TABLE event_sample AS SELECT {ROW}{texts} FROM {self.events.scan}"
            f" ORDER BY hash({ROW}) LIMIT {SAMPLE_SIZE}"
        )
        return names

    def _candidate(self, column: Column, name: str, *, trusted: bool) -> Candidate | None:
        self.work.run(
            f"CREATE OR REPLACE TEMP TABLE {SAMPLE} AS SELECT {name} AS t FROM event_sample WHERE"
            f" {filled(name, self.options.null_words)}"
        )
        ((n, distinct, total),) = self.work.rows(
            f"SELECT count(*), count(DISTINCT t), (SELECT count(*) FROM event_sample) FROM {SAMPLE}"
        )
        if not n:
            return None
        found = self._recognised(column, n)
        likely = trusted or self._is_likely(column, found)
        return Candidate(column, found, 1 - n / total, distinct) if likely else None

    def _recognised(self, column: Column, n: int) -> Recognised:
        if is_typed(column):
            return Recognised("text", 1.0)
        if self.options.format is None:
            return recognise(self.work, self.options.zone, _UNITS)
        seconds = given_format(self.work, "t", self.options.format, self.options.zone).sql
        ((count, example),) = self.work.rows(
            f"SELECT count(s), min(t) FILTER (s IS NULL) FROM (SELECT t, {seconds} AS s FROM {SAMPLE})"
        )
        if count >= HALF * n:
            return Recognised("text", count / n, example=example or "")
        problem = f"'{example}' is not written as {self.options.format}; check --time-format"
        return Recognised("", count / n, problem=problem, example=example)

    def _is_likely(self, column: Column, found: Recognised) -> bool:
        """Return whether values may be times of events."""
        named = sounds_like_time(column.name)
        match found.kind:
            case "text":
                return True
            case "numbers":
                return named or (found.share >= CLEAR and not found.problem and not sounds_like_number(column.name))
            case "unclear":  # also versions such as 1.2.10 look so
                return named or "/" in found.example
            case "dated" | "counts":
                return named and found.problem != ""
            case "other":
                return rank_of(column.name)[0] < UNSAID - 1
            case "clock":
                self.remarks.append(
                    f"column '{column.name}' has times of a day without a date, such as '{found.example}', so it is"
                    " ignored"
                )
                return False
            case _:
                return False

    def reading(self, candidate: Candidate, *, trusted: bool = False) -> TimeReading:
        """Return how a candidate is read; of one that the user named, values that cannot be read are accepted.

        Raises:
            DataError: Its values can be read in several ways, or in none.
        """
        column, options = candidate.column, replace(self.options, unit=candidate.found.unit)
        if candidate.found.problem:
            raise DataError(f"{self.events.path}, column '{column.name}': {candidate.found.problem}.")
        if is_typed(column) or options.format is not None:
            return read_times(self.work, self.events, column, options)
        if candidate.problem and not trusted:
            raise DataError(f"{self.events.path}, column '{column.name}': {candidate.problem}.")
        sample_values(self.work, self.events, column, options.null_words)
        return settle(self.work, self.events, column, candidate.found, options)

"""Inference of order: which column of the events holds their times or positions, and how it is written.

Values decide whether a column holds times; names decide which of several columns has those of the events. What cannot
be decided is refused: a wrong order would make the oldest events the ones to predict.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lexirec.core.errors import DataError
from lexirec.data.inference.column_names import called, plain
from lexirec.data.inference.order_remarks import file_order_remark, is_attribute, is_counter, ties_remark
from lexirec.data.inference.time_candidates import ASK, Candidate, Candidates
from lexirec.data.inference.time_names import LAST, POSITION_NAMES, UNSAID, rank_of, sounds_like_time
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import Column, Source
from lexirec.data.readers.time_recognition import HALF, TimeUnit
from lexirec.data.readers.time_zones import check_zone
from lexirec.data.readers.times import TimeOptions, TimeReading


@dataclass(frozen=True)
class TimeChoice:
    """What the user says of the times of events.

    Attributes:
        column: The column that holds them; "" for none, so that the order of the file counts; None to look for it.
        format: Their format, as `strptime` has it.
        zone: Zone of times in text that name none.
    """

    column: str | None = None
    format: str | None = None
    zone: str = "UTC"


@dataclass(frozen=True)
class Order:
    """What orders a user's events.

    Attributes:
        kind: "time", "position" or "" for the order of the file.
        column: Name of the column.
        unit: Unit of numeric times.
        remarks: Notes for the user, a sentence each.
    """

    kind: str = ""
    column: str = ""
    unit: TimeUnit = "s"
    remarks: tuple[str, ...] = ()


def infer_order(work: Workspace, events: Source, user: Column, item: Column, choice: TimeChoice) -> Order:
    """Infer what orders a user's events.

    Raises:
        DataError: A column looks like times but cannot be read with certainty, or the user's choice cannot be followed.
    """
    options = TimeOptions(format=choice.format, zone=check_zone(work, choice.zone))
    remarks: list[str] = []
    candidates = Candidates(work, events, (user, item), options, remarks)
    return _Inference(work, events, user, item, candidates, remarks).order(choice.column)


@dataclass
class _Inference:
    """One inference: the events, their users and items, the columns that may hold times, and the remarks so far."""

    work: Workspace
    events: Source
    user: Column
    item: Column
    candidates: Candidates
    remarks: list[str] = field(default_factory=list)

    def order(self, column: str | None) -> Order:
        """Return what orders the events; by a column that the user named, or "" for the file."""
        if column == "":
            return Order(remarks=(file_order_remark(self.work, self.events, self.user, self.item),))
        if column is not None:
            return self.chosen(self.events.column("time", {"time": column}))
        found = self.candidates.all()
        for candidate in found:
            name = candidate.column.name
            if candidate.missing > HALF:
                if rank_of(name)[0] == LAST:
                    continue
                raise DataError(
                    f"{self.events.path}: only {1 - candidate.missing:.0%} of the events have a time in column"
                    f" '{name}', and no other column holds times; choose it, which rejects the others, or \"\" for"
                    f" the order of the file {ASK}."
                )
            reading = self.candidates.reading(candidate)
            if self.is_of_something_else(candidate, reading):
                continue
            self.note(candidate, reading, [each for each in found if each is not candidate])
            return Order("time", name, candidate.found.unit, tuple(self.remarks))
        if (format := self.candidates.options.format) is not None:
            raise DataError(f"{self.events.path}: no column holds times as {format}; check --time-format.")
        return self.by_position()

    def chosen(self, column: Column) -> Order:
        """Return the order by the column that the user named."""
        candidate = self.candidates.named(column)
        if candidate is None:
            raise DataError(f"{self.events.path}, column '{column.name}': no row has a value.")
        if candidate.found.kind == "counts" and not candidate.found.problem:
            self.remarks.append(f"column '{column.name}' counts, so it is used as the position of events")
            return Order("position", column.name, remarks=tuple(self.remarks))
        reading = self.candidates.reading(candidate, trusted=True)
        self.note(candidate, reading, [])
        return Order("time", column.name, candidate.found.unit, tuple(self.remarks))

    def is_of_something_else(self, candidate: Candidate, reading: TimeReading) -> bool:
        """Return whether every item (or, by its name, every user) has one time: that of its release, or its birth."""
        name = candidate.column.name
        if is_attribute(self.work, self.events, self.item, reading.sql):
            self.remarks.append(f"column '{name}' has one time for each item, so it is not that of the events")
            return True
        if rank_of(name)[0] == LAST and is_attribute(self.work, self.events, self.user, reading.sql):
            self.remarks.append(f"column '{name}' has one time for each user, so it is not that of the events")
            return True
        return False

    def note(self, candidate: Candidate, reading: TimeReading, others: list[Candidate]) -> None:
        """Add remarks on the column that orders the events."""
        name = candidate.column.name
        if reading.words or rank_of(name)[0] >= UNSAID:
            words = f" as {reading.words}" if reading.words else ""
            example = self.example(candidate, reading.sql)
            self.remarks.append(f"the times of events are read from column '{name}'{words}, such as {example}")
        usable = [each.column.name for each in others if each.missing <= HALF and not each.found.problem]
        if usable:
            listed = ", ".join(f"'{each}'" for each in usable)
            self.remarks.append(
                f"{listed} hold{'s' if len(usable) == 1 else ''} times, too; '{name}' orders the events"
            )
        lost = 1 - (1 - candidate.missing) * candidate.found.share
        if lost > 0:
            self.remarks.append(f"{lost:.1%} of the events have no time in column '{name}' and are rejected")
        if ties := ties_remark(self.work, self.events, self.user, candidate.column, reading.sql):
            self.remarks.append(ties)

    def example(self, candidate: Candidate, sql: str) -> str:
        """Return a value of a column and what it is read as."""
        text = candidate.column.text
        moment = "strftime(make_timestamp(CAST(s * 1e6 AS BIGINT)), '%Y-%m-%d %H:%M:%S')"
        rows = self.work.rows(
            f"SELECT t, {moment} FROM (SELECT {text} AS t, {sql} AS s FROM {self.events.scan})"
            " WHERE isfinite(s) AND abs(s) < 1e11 LIMIT 1"
        )
        return f"'{rows[0][0]}' for {rows[0][1]} UTC" if rows else "none"

    def by_position(self) -> Order:
        """Return the order by a column that numbers the events of each user, else by the file."""
        taken = (self.user, self.item)
        named = [each for each in self.events.columns.values() if each not in taken and sounds_like_time(each.name)]
        for column in [
            *sorted(named, key=lambda each: rank_of(each.name)),
            *called(self.events, POSITION_NAMES, taken),
        ]:
            gapless = plain(column.name) in ("order", "index")
            if column.is_list or not is_counter(self.work, self.events, self.user, column, gapless=gapless):
                if column not in named:
                    self.remarks.append(f"column '{column.name}' does not number the events of users, so it is ignored")
                continue
            self.remarks.append(
                f"column '{column.name}' counts the events of each user, so it is used as their position: the lowest"
                " number is the oldest"
            )
            return Order("position", column.name, remarks=tuple(self.remarks))
        if (rank := next(called(self.events, ("rank",), taken), None)) is not None:
            self.remarks.append(
                f"column '{rank.name}' may order something else than time, so it is ignored; map it as position if its"
                " lowest number is a user's oldest event"
            )
        self.remarks.append(file_order_remark(self.work, self.events, self.user, self.item))
        return Order(remarks=tuple(self.remarks))

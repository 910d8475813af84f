"""Conditions of `[data] where` as SQL over the columns of a file, and what they leave out.

Nothing of the text reaches the SQL but column names, which are looked up, and values, which are quoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import Column, Source, literal, unreadable_line
from lexirec.data.readers.text_values import fast_trimmed, missing, trimmed
from lexirec.data.readers.time_formats import ISO, seconds_of
from lexirec.data.readers.times import TimeOptions, TimeReading, is_typed, read_times
from lexirec.data.readers.where import Compare, IsNull, Join, Node, Not, parse

_TRUE, _FALSE = "('true', 't', 'yes', 'y', '1')", "('false', 'f', 'no', 'n', '0')"
_PLAIN_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DECIMAL_COMMA = r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d{3}|\d{4,},\d{3}|\d{1,3}(\.\d{3})+,\d+)"
"""Numbers with a comma for the decimal point; "1,234" may be a thousand, so it is none."""
_COMMA_GROUPS = r"[+-]?\d{1,3}(,\d{3})+\.\d+"
_POINT_GROUPS = r"[+-]?[1-9]\d{0,2}\.\d{3}"
"""Numbers that may be thousands where others in the column have a decimal comma."""


class NothingMeetsError(DataError):
    """No row of a file meets a condition."""


@dataclass(frozen=True)
class Selection:
    """What a condition lets through.

    Attributes:
        sql: SQL condition over a scan, never NULL; lines that cannot be read pass, so that they stay bad rows.
        facts: For the protocol card: the condition, the number of rows that it leaves out, and of values that cannot be
            compared with its numbers.
    """

    sql: str
    facts: dict[str, str | int]


@dataclass
class _Compiler:
    """Turns the tree of a condition into SQL over one source."""

    work: Workspace
    source: Source
    null_words: tuple[str, ...]
    times: TimeOptions
    readings: dict[str, TimeReading]
    checked: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(Column, what it is read as) -> SQL of the text of a filled value, and of the value, NULL if it is none."""

    def sql(self, node: Node) -> str:
        match node:
            case Join(word, parts):
                return "(" + f" {word.upper()} ".join(self.sql(part) for part in parts) + ")"
            case Not(part):
                return f"(NOT {self.sql(part)})"
            case IsNull(name):
                return f"({self.text(self.column(name))} IS NULL)"
            case Compare():
                return self.compared(node)

    def column(self, name: str) -> Column:
        found = self.source.columns.get(name)
        if found is None:
            same = [column for given, column in self.source.columns.items() if given.lower() == name.lower()]
            found = same[0] if len(same) == 1 else None
        if found is None:
            raise DataError(
                f"{self.source.path}: where names the column '{name}', which the file does not have; the columns are"
                f" {self.source.column_names}.{did_you_mean(name, self.source.columns)}"
            )
        if found.is_list or found.type.startswith(("STRUCT", "MAP")):
            raise DataError(f"{self.source.path}: where compares column '{name}', which holds lists or objects.")
        return found

    def text(self, column: Column) -> str:
        return f"CASE WHEN NOT {missing(column.text, self.null_words)} THEN {fast_trimmed(column.text)} END"

    def compared(self, node: Compare) -> str:
        column, value = self.column(node.column), node.value
        if isinstance(value, bool):
            if node.operator not in ("=", "<>"):
                raise self.error(column, f"{node.operator} compares no {str(value).lower()}")
            return f"({self.boolean(column)} {node.operator} {str(value).lower()})"
        if isinstance(value, str):
            return self.compared_text(column, node.operator, value)
        if is_typed(column):
            raise self.error(column, "which holds times; compare it with a time in quotes, such as '2019-01-31'")
        if not math.isfinite(value):
            raise self.error(column, "a number is too large")
        return f"({self.number(column)} {node.operator} CAST({value!r} AS DOUBLE))"

    def compared_text(self, column: Column, operator: str, value: str) -> str:
        ordered = operator not in ("=", "<>")
        if column.name in self.readings or is_typed(column) or (ordered and self.moment(value) is not None):
            moment = self.moment(value)
            if moment is None:
                raise self.error(column, f"times are written as '2019-01-31' or '2019-01-31 12:30', not '{value}'")
            if column.name not in self.readings:
                self.readings[column.name] = read_times(self.work, self.source, column, self.times)
            return f"({self.readings[column.name].sql} {operator} {moment!r})"
        if ordered:
            raise self.error(column, f"{operator} compares numbers and times, without quotes around numbers: '{value}'")
        if value.strip() in ("", *self.null_words):
            raise self.error(column, f"'{value}' counts as a missing value, which \"is null\" finds")
        return f"({self.text(column)} {operator} {trimmed(literal(value))})"

    def number(self, column: Column) -> str:
        given = self.text(column)
        if column.is_number or column.type == "BOOLEAN":
            value = f"CAST({column.sql} AS DOUBLE)"
            return f"CASE WHEN NOT isnan({value}) THEN {value} END"
        ((commas,),) = self.work.rows(
            f"SELECT count(*) FROM {self.source.scan} WHERE regexp_full_match({given}, {literal(_DECIMAL_COMMA)})"
        )
        unclear = f"WHEN regexp_full_match({given}, {literal(_POINT_GROUPS)}) THEN NULL" if commas else ""
        value = (
            f"CASE {unclear} WHEN regexp_full_match({given}, {literal(_PLAIN_NUMBER)}) THEN TRY_CAST({given} AS DOUBLE)"
            f" WHEN regexp_full_match({given}, {literal(_DECIMAL_COMMA)})"
            f" THEN TRY_CAST(replace(replace({given}, '.', ''), ',', '.') AS DOUBLE)"
            f" WHEN regexp_full_match({given}, {literal(_COMMA_GROUPS)})"
            f" THEN TRY_CAST(replace({given}, ',', '') AS DOUBLE) END"
        )
        self.checked[column.name, "no number"] = given, value
        return value

    def boolean(self, column: Column) -> str:
        given = self.text(column)
        value = f"CASE WHEN lower({given}) IN {_TRUE} THEN true WHEN lower({given}) IN {_FALSE} THEN false END"
        self.checked[column.name, "neither true nor false"] = given, value
        return value

    def moment(self, text: str) -> float | None:
        """Return a time in text as seconds since 1970, None if it is none."""
        ((seconds,),) = self.work.rows(f"SELECT {seconds_of(literal(text), ISO, self.times.zone)}")
        return None if seconds is None else float(seconds)

    def error(self, column: Column, problem: str) -> DataError:
        return DataError(f"{self.source.path}: where compares column '{column.name}': {problem}.")


def select(
    work: Workspace,
    source: Source,
    where: str,
    null_words: tuple[str, ...],
    times: TimeOptions,
    reading: tuple[str, TimeReading] | None = None,
) -> Selection:
    """Return the SQL of a condition on a file's rows, and count what it leaves out.

    Args:
        work: The workspace that opened the file.
        source: The file.
        where: The condition.
        null_words: What stands for a missing value.
        times: How times are written.
        reading: The name of the column of event times, and how it is read.

    Raises:
        DataError: The condition cannot be read, names a column that the file does not have, compares what cannot be
            compared, or leaves no row (`NothingMeetsError`).
    """
    compiler = _Compiler(work, source, null_words, times, dict([reading] if reading else []))
    condition = compiler.sql(parse(where))
    keep = f"({unreadable_line(source)} OR coalesce({condition}, false))"
    tests = "".join(
        f", count(*) FILTER ({given} IS NOT NULL AND ({value}) IS NULL), min({given}) FILTER (({value}) IS NULL),"
        f" count({value})"
        for given, value in compiler.checked.values()
    )
    ((n, kept, *found),) = work.rows(f"SELECT count(*), count(*) FILTER ({keep}){tests} FROM {source.scan}")
    unreadable: list[str] = []
    for number, (name, kind) in enumerate(compiler.checked):
        count, example, readable = found[3 * number : 3 * number + 3]
        if count and not readable:
            raise DataError(
                f"{source.path}: where compares column '{name}', which is {kind} in any row, such as '{example}'; texts"
                " are compared with texts in single quotes."
            )
        if count:
            rows = "1 row" if count == 1 else f"{count:,} rows"
            unreadable.append(f"'{name}' is {kind} in {rows}, such as '{example}'")
    if n and not kept:
        said = f" ({'; '.join(unreadable)})" if unreadable else ""
        raise NothingMeetsError(
            f"{source.path}: none of the {n:,} rows meets where = {where!r}{said}; check its values."
        )
    facts: dict[str, str | int] = {"where": where, "left_out_by_where": n - kept}
    if unreadable:
        facts["unreadable_in_where"] = "; ".join(unreadable)
    return Selection(keep, facts)

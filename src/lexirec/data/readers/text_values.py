"""Text values of a table, read as what they stand for: nothing, a list of names, a text of a web page.

What a column holds is decided for the column as a whole: lists and objects that are written as text become lists of
names where most values are written so, and names joined by `|`, `;` or `>` where they recur among the items.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lexirec.data.markup import SUSPECT, plain_text
from lexirec.data.readers.sql_columns import ROW, Column, literal
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.structured_values import names_in

if TYPE_CHECKING:
    from lexirec.data.readers.duckdb_source import Workspace

BLANKS = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200C))
)
"""Characters that show nothing: white space of all scripts, zero-width spaces and byte order marks."""
TAG_FIELDS = ("categories", "category", "genres", "genre", "tags", "tag", "keywords", "topics")
"""Fields whose values are split at `|`, `;` and `>` wherever they have them."""

_WHOLE = ("title", "description")
"""Fields whose values are never split."""
_MOST = 0.5
"""Share of the values above which a column as a whole is taken for structured, or for joined names."""
_CODES = 0.9
"""Share of values of two capital letters from which NA is such a code, too (Namibia), and no missing value."""
_KNOWN_ROWS = 0.2
"""Share of the rows with joined names in which every name must recur."""
_LONGEST_NAME = 60
"""Mean number of characters up to which the parts of joined names are names."""
_SAMPLE = 20_000
"""First rows by which a column is judged; all values are then read alike."""
_PARSED = 1_000
"""Distinct values of them that are parsed for it."""
_LONGEST = 2_000
"""Mean number of characters beyond which an attribute is kept as it is: a vector, or a whole record."""
_VALUES = "lexirec_values"
_BRACKETS = r"(?s)^\s*([\[{(].*[\])}]|(array|set|frozenset)\(.*\))\s*$"
_NESTED = r"(?s)^\s*[\[{].*[\]}]\s*$"
_SEPARATORS = {"|": r"\s*\|+\s*", ";": r"\s*;+\s*", ">": r"\s*(?:>+|»|›)\s*"}
_ENTITY = r"&#?\w+;"


def trimmed(sql: str) -> str:
    """Return SQL for a text without blank characters at its ends."""
    return f"trim({sql}, {literal(BLANKS)})"


def fast_trimmed(sql: str) -> str:
    """Return SQL like `trimmed` that is fast where few texts have blanks at their ends."""
    ends = f"^[{BLANKS}]|[{BLANKS}]$"
    return f"(CASE WHEN regexp_matches({sql}, {literal(ends)}) THEN {trimmed(sql)} ELSE {sql} END)"


def missing(sql: str, words: Sequence[str] = NULL_WORDS) -> str:
    """Return an SQL condition, never NULL: true where a text is NULL, blank or, blanks aside, one of `words`.

    Args:
        sql: SQL of the text.
        words: Null words, compared as they are written: "None" is not "none".
    """
    pattern = f"[{BLANKS}]*(?:{'|'.join(map(re.escape, words))})?[{BLANKS}]*"
    return f"({sql} IS NULL OR regexp_full_match({sql}, {literal(pattern)}))"


def plain(sql: str) -> str:
    """Return SQL of a text without HTML, in a workspace in which `cleaned` was called."""
    return f"CASE WHEN regexp_matches({sql}, {literal(SUSPECT)}) THEN lexirec_plain_text({sql}) ELSE {sql} END"


@dataclass(frozen=True)
class Value:
    """SQL of a column's cleaned values, and whether they are lists."""

    sql: str
    is_list: bool = False


def raw_value(column: Column) -> str:
    """Return SQL for a column's values as they are kept: numbers, truth values, texts, lists of texts, else JSON."""
    if "STRUCT" in column.type or column.type.startswith(("MAP", "UNION", "JSON")) or column.type.count("[") > 1:
        return f"CAST(to_json({column.sql}) AS VARCHAR)"
    if column.is_list:
        return column.texts
    if column.type.startswith("DECIMAL"):
        return f"CAST({column.sql} AS DOUBLE)"
    return column.sql if column.is_number or column.type == "BOOLEAN" else column.text


def cleaned(
    work: Workspace,
    table: str,
    columns: Mapping[str, str],
    text: Collection[str],
    words: Sequence[str] = NULL_WORDS,
) -> dict[str, Value]:
    """Return the cleaned values of columns that hold texts, lists of texts, numbers or truth values.

    Args:
        work: Workspace of the table.
        table: A table with the column `ROW`.
        columns: Our names -> names in the table.
        text: Our names of the text fields, which also lose HTML and invisible characters.
        words: Null words.
    """
    _add_functions(work)
    types = {name: kind for name, kind, *_ in work.rows(f"DESCRIBE {table}")}
    values: dict[str, Value] = {}
    for ours, column in columns.items():
        kind = types[column]
        if kind in ("VARCHAR", "VARCHAR[]"):
            values[ours] = _Reading(ours, column, kind == "VARCHAR[]", ours in text, tuple(words)).decide(work, table)
        else:
            values[ours] = Value(column, kind.endswith("[]"))
    return values


@dataclass(frozen=True)
class _Reading:
    """How a column of texts, or of lists of texts, is read."""

    name: str
    column: str
    is_list: bool
    is_text: bool
    words: tuple[str, ...]

    def decide(self, work: Workspace, table: str) -> Value:
        """Return the values of the column in the table."""
        own = self.column
        work.run(f"CREATE OR REPLACE TEMP TABLE {_VALUES} AS SELECT {own} AS v FROM {table} WHERE {ROW} <= {_SAMPLE}")
        if not self.is_list and "NA" in self.words and self._holds_codes(work):
            return replace(self, words=tuple(word for word in self.words if word != "NA"))._value(work)
        return self._value(work)

    def _holds_codes(self, work: Workspace) -> bool:
        """Return whether the values are codes of countries or languages, of which NA is one."""
        ((share,),) = work.rows(
            f"SELECT avg(CAST(regexp_full_match(v, '[A-Z]{{2}}') AS INTEGER)) FROM {_VALUES} WHERE v <> 'NA'"
            f" AND NOT {missing('v', self.words)}"
        )
        return share is not None and share >= _CODES

    def _value(self, work: Workspace) -> Value:
        own = self.column
        structured = self._is_structured(work)
        if not structured and not self.is_list:
            separators = self._separators(work, f"SELECT {self._plain('v')} AS v FROM {_VALUES}")
            if not separators:
                return Value(self._kept(self._plain(own)))
            return Value(self._kept(own, self._split(f"[{self._plain(own)}]", separators)), True)
        separators = ""
        if structured or self.is_tags:
            separators = self._separators(work, f"SELECT unnest({self._listed('v', structured)}) AS v FROM {_VALUES}")
        lists = self._listed(own, structured)
        lists = self._split(lists, separators) if separators else lists
        return Value(
            f"CASE WHEN {own} IS NULL THEN NULL ELSE {lists} END" if self.is_list else self._kept(own, lists), True
        )

    @property
    def is_tags(self) -> bool:
        """Whether the field holds categories by its name."""
        return self.name.lower() in TAG_FIELDS

    def _plain(self, sql: str) -> str:
        """Return SQL of a text without HTML."""
        return plain(sql) if self.is_text else sql

    def _kept(self, sql: str, value: str | None = None) -> str:
        """Return SQL of a text, or of a value made of it; NULL where the text is missing."""
        return f"CASE WHEN {missing(sql, self.words)} THEN NULL ELSE {value or sql} END"

    def _listed(self, sql: str, structured: bool) -> str:
        """Return SQL of the list of texts in a value, without HTML and without missing ones."""
        if structured:
            sql = f"lexirec_names{'_loose' if self.is_text else ''}({self._written(sql)})"
        return f"[e FOR e IN [{self._plain('p')} FOR p IN {sql}] IF NOT {missing('e', self.words)}]"

    def _written(self, sql: str) -> str:
        """Return SQL of a value as a text."""
        return f"CAST(to_json({sql}) AS VARCHAR)" if self.is_list else sql

    def _split(self, lists: str, separators: str) -> str:
        """Return SQL of lists whose texts are split: the parts, in order, each once."""
        parts = f"flatten([string_split_regex(s, {literal(separators)}) FOR s IN {lists}])"
        kept = f"[{trimmed('e')} FOR e IN {parts} IF NOT {missing('e', self.words)}]"
        once = "lambda l: list_filter(l, lambda e, i: list_position(l, e) = i)"
        return f"list_transform([{kept}], {once})[1]"  # the list is made once, not once for each of its texts

    def _is_structured(self, work: Workspace) -> bool:
        """Return whether most values are lists or objects written as text (or lists of such)."""
        value = self._written("v")
        if self.is_list:
            there = "len(v) > 0"
            condition = f"len(list_filter(v, lambda e: regexp_matches(e, {literal(_NESTED)}))) > 0"
        else:
            there = f"NOT {missing('v', self.words)}"
            condition = f"regexp_matches(v, {literal(_BRACKETS)})"
        ((share, length),) = work.rows(
            f"SELECT avg(CAST({condition} AS INTEGER)), avg(length({value})) FROM {_VALUES} WHERE {there}"
        )
        if share is None or share <= _MOST or (not self.is_text and length > _LONGEST):
            return False
        values = work.rows(
            f"SELECT DISTINCT {value} AS s FROM {_VALUES} WHERE {there} AND {condition} ORDER BY hash(s), s"
            f" LIMIT {_PARSED}"
        )
        found = [names_in(each) for (each,) in values]
        # Objects without names are attributes as they are, for filters; as texts they give their words.
        useful = self.is_text or any(found)
        return useful and share * sum(names is not None for names in found) / len(found) > _MOST

    def _separators(self, work: Workspace, values: str) -> str:
        """Return a pattern of the signs that join names in the given values; "" where none does."""
        if self.name in _WHOLE:
            return ""
        work.run(f"CREATE OR REPLACE TEMP TABLE {_VALUES} AS SELECT v FROM ({values}) WHERE v <> ''")
        free = f"NOT contains(v, '<') AND NOT regexp_matches(v, '{_ENTITY}')"  # signs of HTML join nothing
        joined = {
            sign: f"(contains(v, {literal(sign)}){'' if sign == '|' else f' AND {free}'})" for sign in _SEPARATORS
        }
        counted = ", ".join(f"count_if({condition})" for condition in joined.values())
        counts = dict(zip(joined, work.rows(f"SELECT {counted} FROM {_VALUES}")[0], strict=True))
        found = [sign for sign, count in counts.items() if count]
        return "|".join(
            _SEPARATORS[sign] for sign in found if self.is_tags or _recur(work, joined[sign], _SEPARATORS[sign])
        )


def _recur(work: Workspace, joined: str, pattern: str) -> bool:
    """Return whether the parts of joined texts are names that recur in the column."""
    split = f"unnest(list_distinct(string_split_regex(v, {literal(pattern)})))"
    ((recurring, length, whole),) = work.rows(
        f"WITH given AS (SELECT row_number() OVER () AS n, v, {joined} AS joined FROM {_VALUES}),"
        f" parts AS (SELECT n, joined, {split} AS part FROM given),"
        f" counted AS (SELECT n, joined, part, count(*) OVER (PARTITION BY part) > 1 AS recurs FROM parts)"
        f" SELECT avg(CAST(recurs AS INTEGER)), avg(length(part)),"
        f" count(DISTINCT n) FILTER (WHERE n NOT IN (SELECT n FROM counted WHERE NOT recurs)) / count(DISTINCT n)"
        f" FROM counted WHERE joined"
    )
    return bool(recurring and recurring > _MOST and length <= _LONGEST_NAME and whole >= _KNOWN_ROWS)


def _add_functions(work: Workspace) -> None:
    """Give the workspace the functions `lexirec_plain_text`, `lexirec_names` and `lexirec_names_loose`."""
    if work.rows("SELECT 1 FROM duckdb_functions() WHERE function_name = 'lexirec_names'"):
        return
    add = work.connection.create_function
    add("lexirec_plain_text", _plain_texts, ["VARCHAR"], "VARCHAR", type="arrow")
    add("lexirec_names", _name_lists, ["VARCHAR"], "VARCHAR[]", type="arrow")
    add("lexirec_names_loose", _loose_name_lists, ["VARCHAR"], "VARCHAR[]", type="arrow")


def _plain_texts(texts: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if text is None else plain_text(text) for text in texts.to_pylist()], pa.string())


def _name_lists(texts: pa.ChunkedArray) -> pa.Array:
    return _lists(texts, loose=False)


def _loose_name_lists(texts: pa.ChunkedArray) -> pa.Array:
    return _lists(texts, loose=True)


def _lists(texts: pa.ChunkedArray, *, loose: bool) -> pa.Array:
    known: dict[str, list[str]] = {}
    lists = []
    for text in texts.to_pylist():
        if text not in known:
            names = names_in(text, loose=loose)
            known[text] = [text] if names is None else names
        lists.append(known[text])
    return pa.array(lists, pa.list_(pa.string()))

"""SQL conditions on text values: which of them stand for a missing value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lexirec.data.readers.sql_columns import literal
from lexirec.data.readers.text_format import NULL_WORDS

BLANKS = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200C))
)
"""Characters that show nothing: white space of all scripts, zero-width spaces and byte order marks."""


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

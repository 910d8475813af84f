"""Ids that agree but for their spelling: the keys that tables are joined on, and what to say where ids are unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.text_values import fast_trimmed

IdSpelling = Literal["blanks", "case", "decimals", "leading-zeros", "hyphens", "unicode"]
"""A difference in spelling that ids of two tables may have and still agree."""

SPELLINGS: tuple[IdSpelling, ...] = get_args(IdSpelling)

_WORDS: dict[IdSpelling, str] = {
    "blanks": "blanks around them",
    "case": "upper and lower case",
    "decimals": "'.0' at the end or scientific notation",
    "leading-zeros": "leading zeros",
    "hyphens": "hyphens, underscores and blanks inside",
    "unicode": "composed and decomposed letters",
}
_SAMPLE = 20_000


def key_of(text: str, spellings: Sequence[IdSpelling]) -> str:
    """Return SQL for the key of an id: equal for ids that differ in these spellings alone."""
    key = text
    if "unicode" in spellings:
        key = f"nfc_normalize({key})"
    if "blanks" in spellings:
        key = fast_trimmed(key)
    if "decimals" in spellings:  # numbers alone: "v1.0" is no number
        key = _whole(f"regexp_replace({key}, '^([+-]?\\d+)\\.0*$', '\\1')")
    if "hyphens" in spellings:
        key = f"regexp_replace({key}, '[-_ \\x{{2010}}-\\x{{2015}}]', '', 'g')"
    if "leading-zeros" in spellings:
        key = f"regexp_replace({key}, '^0+(\\d+)$', '\\1')"
    return f"lower({key})" if "case" in spellings else key


def _whole(text: str) -> str:
    """Return SQL that writes whole numbers in scientific notation in full, unless digits were lost ("1.2e+08")."""
    parts = f"regexp_extract({text}, '^\\d\\.(\\d+)e\\+?(\\d+)$', ['digits', 'power'], 'i')"
    number = f"TRY_CAST({text} AS DOUBLE)"
    all_there = f"length({parts}.digits) >= TRY_CAST({parts}.power AS INTEGER) AND {number} = trunc({number})"
    return f"CASE WHEN {all_there} THEN CAST(CAST({number} AS BIGINT) AS VARCHAR) ELSE {text} END"


def in_words(spellings: Sequence[IdSpelling]) -> str:
    """Return the differences in words: "leading zeros and upper and lower case"."""
    return " and ".join(_WORDS[each] for each in spellings)


def setting_of(spellings: Sequence[IdSpelling]) -> str:
    """Return the line of the experiment file that allows these differences."""
    return f"match_ids = [{', '.join(f'{chr(34)}{each}{chr(34)}' for each in spellings)}]"


def check_distinct(work: Workspace, ids: str, spellings: Sequence[IdSpelling], where: str) -> None:
    """Refuse spellings that make one of two ids of a table with a column `id`.

    Raises:
        DataError: Two ids become one.
    """
    unknown = [each for each in spellings if each not in SPELLINGS]
    if unknown:
        raise DataError(f"match_ids has '{unknown[0]}'; allowed are {', '.join(SPELLINGS)}.")
    rows = work.rows(
        f"SELECT min(id), max(id), count(*) FROM {ids} GROUP BY {key_of('id', spellings)} HAVING count(DISTINCT id) > 1"
        " ORDER BY 1 LIMIT 1"
    )
    for first, second, _ in rows:
        raise DataError(
            f"{where}: '{first}' and '{second}' are two ids, but {setting_of(spellings)} makes one of them; name only"
            " differences that no two ids have."
        )


def likely_spellings(work: Workspace, unknown: str, known: str) -> tuple[tuple[IdSpelling, ...], int, tuple[str, str]]:
    """Return the fewest differences in spelling that explain unknown ids.

    Args:
        work: The workspace.
        unknown: Table (or query in parentheses) of ids without a match: columns `id` and `n`, the number of rows.
        known: Table of the ids there are: column `id`.

    Returns:
        The differences (empty if none explains anything), the number of rows that they explain, and an example: the
        unknown id and the id it agrees with.
    """
    work.run(f"CREATE OR REPLACE TEMP TABLE unknown_ids AS SELECT id, n FROM {unknown} ORDER BY n DESC LIMIT {_SAMPLE}")

    def explained(spellings: tuple[IdSpelling, ...]) -> int:
        ((count,),) = work.rows(f"SELECT {_explained(spellings, known)}")
        return int(count)

    found: list[tuple[tuple[IdSpelling, ...], int]] = [((each,), explained((each,))) for each in SPELLINGS]
    if (most := explained(SPELLINGS)) > max(count for _, count in found):
        found.append((_fewest(SPELLINGS, most, explained), most))
    spellings, count = max(found, key=lambda pair: pair[1])
    if not count:
        return (), 0, ("", "")
    ((given, meant),) = work.rows(
        f"SELECT u.id, k.id FROM unknown_ids u JOIN {known} k"
        f" ON {key_of('u.id', spellings)} = {key_of('k.id', spellings)} ORDER BY u.n DESC, u.id, k.id LIMIT 1"
    )
    return spellings, count, (given, meant)


def other_spelling(work: Workspace, unknown: str, known: str, spellings: Sequence[IdSpelling] = ()) -> str:
    """Return a clause on how unknown ids differ from known ones if only in spelling, else "".

    Args:
        work: The workspace.
        unknown: Table (or query in parentheses) of ids without a match: columns `id` and `n`, the number of rows.
        known: Table of the ids there are: column `id`.
        spellings: The differences that are allowed already.
    """
    ((n,),) = work.rows(f"SELECT sum(n) FROM {unknown}")
    if not n:
        return ""
    found, count, (given, meant) = likely_spellings(work, unknown, known)
    if not count:
        return ""
    wanted = tuple(each for each in SPELLINGS if each in {*found, *spellings})
    return (
        f"{count:,} of {n:,} rows with unknown ids agree with an id but for {in_words(found)}, such as '{given}' and"
        f" '{meant}': set {setting_of(wanted)}"
    )


def _fewest(
    spellings: tuple[IdSpelling, ...], count: int, explained: Callable[[tuple[IdSpelling, ...]], int]
) -> tuple[IdSpelling, ...]:
    """Drop the differences without which as many rows are explained."""
    for each in reversed(spellings):  # the least usual first
        fewer = tuple(other for other in spellings if other != each)
        if explained(fewer) >= count:
            spellings = fewer
    return spellings


def _explained(spellings: Sequence[IdSpelling], known: str) -> str:
    """Return SQL for the number of rows of `unknown_ids` whose key is the key of exactly one known id."""
    return (
        f"(SELECT coalesce(sum(n), 0) FROM unknown_ids WHERE {key_of('id', spellings)} IN"
        f" (SELECT {key_of('id', spellings)} FROM {known} GROUP BY 1 HAVING count(DISTINCT id) = 1))"
    )

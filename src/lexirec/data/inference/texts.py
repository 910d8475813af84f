"""Inference of texts: which columns of the items are their title, brand, categories and description.

Values decide what is a text, names decide which; where no name helps, the number of different texts and their length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lexirec.core.errors import DataError
from lexirec.data.inference.column_names import ENOUGH, MOSTLY, SAMPLE
from lexirec.data.inference.text_names import rank_of
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import ROW, Column, Source, literal
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.text_values import Value, cleaned, missing, plain, raw_value

FIELDS = ("title", "brand", "categories", "description")
"""Our names of text fields, in the order in which texts present them."""

_SAME = 0.5
"""Share of the different texts of the most varied column called like a title that a usual name of one suffices for."""
_FEW = 0.2
"""A column that is called like a title has at least this share of the different texts of any other column."""
_TITLE_LENGTH = 150
"""Median number of characters up to which texts are titles."""
_SHORT = 80
"""Median number of characters up to which a description is a title where there is no other."""
_LONGER = 3
"""How many times longer than the title a text without a name is to be a description."""
_REPEATED = 0.7
"""Largest share of different texts in a column of brands or categories without a name."""
_NAMED = 8
"""Columns that a remark names."""

_NO_TEXTS = {
    "addresses": r"(?i)^(?:[a-z][a-z0-9+.-]*://|www\.|//|data:|[/\\]|mailto:)\S*$|^\S+@\S+\.\S+$"
    r"|^\S+\.(?:jpe?g|png|gif|webp|svg|bmp|html?|php|pdf|mp[34]|wav|json|xml|zip)(?:\?\S*)?$",
    "codes": r"^[\x21-\x7e]*\d[\x21-\x7e]*$|^[\x21-\x7e]{20,}$",
    "dates": r"(?i)^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?(?:\d{1,2}(?:st|nd|rd|th)?[\s.-]+)?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\s.,-]+(?:\d{1,2}(?:st|nd|rd|th)?,?\s+)?\d{2,4}\b.*$"
    r"|^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b.*$",
    "numbers": r"(?i)^[\W\d_]*\d[\d.,\s]*[a-z%°]{0,5}\.?$|^[A-Z]{3}\s*[\d.,]+$",
    "truth values": r"(?i)^(?:true|false|yes|no|y|n|t|f)$",
    "objects": r"(?s)^\s*[\[{].*[\]}]\s*$",
}
"""What a column may hold instead of texts, with the pattern of its values."""
_SLUG = r"^[a-z]+(?:[-_][a-z]+)+$"
_WORDS = r"\pL{2}|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"


@dataclass(frozen=True)
class TextColumns:
    """The items' text fields.

    Attributes:
        fields: Our names -> columns, in the order in which texts present them.
        remarks: What was guessed, and what was left out.
    """

    fields: dict[str, Column]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Profile:
    """What a column holds, by a sample: number and variety of its values, of null words, length, shares of kinds."""

    column: Column
    is_list: bool
    filled: int
    distinct: int
    nulls: int
    length: float
    words: float
    slugs: float
    others: Mapping[str, float]

    @property
    def is_text(self) -> bool:
        """Whether most values are words."""
        return self.words > ENOUGH

    @property
    def instead(self) -> str:
        """What most values are, if they are no words."""
        return max(self.others, key=lambda kind: self.others[kind]) if self.others else "nothing"


def text_columns(work: Workspace, items: Source, item: Column, words: Sequence[str] = NULL_WORDS) -> TextColumns:
    """Infer the text fields of a table of items, whose ids are in the column `item`.

    Raises:
        DataError: no column holds texts.
    """
    profiles = _profiles(work, items, words)
    others = [each for each in profiles if each.column.name != item.name]
    texts = [each for each in others if each.is_text]
    found = {ours: column for ours in FIELDS if ours != "title" and (column := _called(texts, ours))}
    title = _title(texts, list(found.values()))
    remarks: list[str] = []
    if title is None:
        title = _title_without_name(texts, found, [each for each in profiles if each not in others], remarks)
    if title is not None:
        found = {ours: each for ours, each in found.items() if each is not title}
        if all(_rank(each, ours) is None for each in texts for ours in FIELDS):
            found = _without_names(texts, title)
        found["title"] = title
    if not found:
        found = _slugs(others, items, remarks)
    fields = {ours: found[ours].column for ours in FIELDS if ours in found}
    return TextColumns(fields, (*remarks, *_remarks(others, found)))


# ------------------------------------------------------------------------------------------------------------- roles


def _called(texts: Sequence[_Profile], ours: str) -> _Profile | None:
    """Return the text column with the likeliest name of a field; of equally likely names, the one with most texts."""
    ranked = [
        (rank, -each.distinct, number) for number, each in enumerate(texts) if (rank := _rank(each, ours)) is not None
    ]
    return texts[min(ranked)[2]] if ranked else None


def _rank(profile: _Profile, ours: str) -> int | None:
    return rank_of(profile.column.name, ours)


def _title(texts: Sequence[_Profile], taken: Sequence[_Profile]) -> _Profile | None:
    """Return the column that is called like a title and holds most texts, the usual name first."""
    named = [each for each in texts if _rank(each, "title") is not None]
    if not named:
        return None
    most = max(each.distinct for each in named)
    likely = [each for each in named if each.distinct >= _SAME * most]
    title = min(likely, key=lambda each: (_rank(each, "title"), -each.distinct))
    rivals = [each.distinct for each in texts if each not in taken and each.length <= _TITLE_LENGTH]
    return title if title.distinct >= _FEW * max(rivals, default=0) else None


def _title_without_name(
    texts: Sequence[_Profile], found: dict[str, _Profile], item: Sequence[_Profile], remarks: list[str]
) -> _Profile | None:
    """Return the column with most different texts of moderate length, a short description, or the ids."""
    taken = list(found.values())
    free = [each for each in texts if each not in taken and each.length <= _TITLE_LENGTH and not each.is_list]
    best = max((each for each in free if not _is_long(each, free)), key=lambda each: each.distinct, default=None)
    description = found.get("description")
    makers = [each.distinct for each in taken if each is not description]
    most = max(each.distinct for each in texts) if texts else 0
    if best is not None and best.distinct >= max(_FEW * most, *makers, 0):
        remarks.append(f"column '{best.column.name}' is taken as the title: it holds the most different texts")
        return best
    if description is not None and description.length <= _SHORT:
        remarks.append(f"column '{description.column.name}' is taken as the title: its texts are short")
        return description
    if item and item[0].is_text:
        remarks.append(f"column '{item[0].column.name}' holds the ids and is taken as the title, too")
        return item[0]
    remarks.append("no column holds titles")
    return None


def _is_long(profile: _Profile, others: Sequence[_Profile]) -> bool:
    """Return whether texts are so long, beside others of as many different texts, that they describe."""
    return profile.length > _SHORT and any(
        each.distinct >= MOSTLY * profile.distinct and _LONGER * each.length < profile.length for each in others
    )


def _without_names(texts: Sequence[_Profile], title: _Profile) -> dict[str, _Profile]:
    """Return description, categories and brand of a table in which no column has the name of a text field."""
    found: dict[str, _Profile] = {}
    free = [each for each in texts if each is not title]
    long = [each for each in free if each.length > max(_SHORT, _LONGER * title.length)]
    if long:
        found["description"] = max(long, key=lambda each: each.length)
    repeated = [each for each in free if each not in long and 1 < each.distinct <= _REPEATED * each.filled]
    repeated.sort(key=lambda each: (not each.is_list, each.distinct))
    if repeated:
        found["categories"] = repeated[0]
    if len(repeated) > 1:
        found["brand"] = repeated[-1]
    return found


def _slugs(others: Sequence[_Profile], items: Source, remarks: list[str]) -> dict[str, _Profile]:
    """Return the column of names in addresses (`cast-iron-pan`) as the title of a table without texts."""
    slugs = [each for each in others if each.slugs > ENOUGH]
    if not slugs:
        titles = [each for each in others if _rank(each, "title") is not None]
        kinds = "".join(f"; '{each.column.name}' holds {each.instead}" for each in titles)
        raise DataError(
            f"{items.path}: no column holds texts ({items.column_names}){kinds}; add a column with a text of each item,"
            " such as a title"
        )
    best = max(slugs, key=lambda each: each.distinct)
    remarks[:] = [f"column '{best.column.name}' is taken as the title: no other column holds texts"]
    return {"title": best}


def _remarks(others: Sequence[_Profile], found: Mapping[str, _Profile]) -> Iterator[str]:
    used = list(found.values())
    guessed = [ours for ours, each in found.items() if ours != "title" and _rank(each, ours) is None]
    for ours in guessed:
        yield f"column '{found[ours].column.name}' is taken as the field {ours} by its values"
    for each in others:
        if each not in used and not each.is_text and _rank(each, "title") == 0 and each.filled:
            yield f"column '{each.column.name}' is no title: it holds {each.instead}"
    for each in used:
        if each.nulls:
            yield f"{each.nulls:,} values of '{each.column.name}' stand for a missing one, such as nan, null or N/A"
    left = [each.column.name for each in others if each.is_text and each not in used]
    if left:
        yield f"text columns left out: {_listed(left)}; add them to text to use them"
    objects = [each.column.name for each in others if each not in used and each.others.get("objects", 0) > ENOUGH]
    if objects:
        yield f"columns of lists or objects without names left out: {_listed(objects)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


# ------------------------------------------------------------------------------------------------------------ values


def _profiles(work: Workspace, items: Source, words: Sequence[str]) -> list[_Profile]:
    """Return what every column holds that is no number, date or truth value, in the order of the file."""
    columns = [each for each in items.columns.values() if _may_be_text(each)]
    if not columns:
        return []
    aliases = {column.name: f"v{number}" for number, column in enumerate(columns)}
    selected = ", ".join(f"{raw_value(column)} AS {aliases[column.name]}" for column in columns)
    work.run(f"CREATE OR REPLACE TEMP TABLE lexirec_texts AS SELECT {ROW}, {selected} FROM {items.scan} LIMIT {SAMPLE}")
    values = cleaned(work, "lexirec_texts", aliases, (), words)
    profiles = [_profile(work, column, aliases[column.name], values[column.name], words) for column in columns]
    work.run("DROP TABLE lexirec_texts")
    return profiles


def _may_be_text(column: Column) -> bool:
    return not (
        column.is_number or column.type.startswith(("DATE", "TIMESTAMP", "TIME", "BOOLEAN", "BLOB", "INTERVAL"))
    )


def _profile(work: Workspace, column: Column, alias: str, value: Value, words: Sequence[str]) -> _Profile:
    text = f"array_to_string({value.sql}, ', ')" if value.is_list else value.sql
    no_text = {kind: f"regexp_matches(v, {literal(pattern)})" for kind, pattern in _NO_TEXTS.items()}
    slug = f"regexp_matches(v, {literal(_SLUG)})"
    is_words = f"regexp_matches(v, {literal(_WORDS)}) AND NOT ({' OR '.join(no_text.values())} OR {slug})"
    shares = ", ".join(f"avg(CAST({condition} AS INTEGER))" for condition in (is_words, slug, *no_text.values()))
    ((filled, distinct, length, with_words, slugs, *others),) = work.rows(
        f"SELECT count(*), count(DISTINCT v), median(length(v)), {shares} FROM"
        f" (SELECT {plain('v')} AS v FROM (SELECT {text} AS v FROM lexirec_texts)) WHERE NOT {missing('v', words)}"
    )
    kinds = dict(zip(no_text, others, strict=True)) if filled else {}
    nulls = 0 if column.is_list else _null_words(work, alias, words)
    return _Profile(
        column, value.is_list, filled, distinct, nulls, length or 0.0, with_words or 0.0, slugs or 0.0, kinds
    )


def _null_words(work: Workspace, alias: str, words: Sequence[str]) -> int:
    given = f"CAST({alias} AS VARCHAR)"
    ((count,),) = work.rows(f"SELECT count_if({missing(given, words)} AND NOT {missing(given, ())}) FROM lexirec_texts")
    return int(count)

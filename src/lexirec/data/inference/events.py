"""Inference of what events are: columns of ratings, kinds and quantities, by which some events may not count.

Such a column is named with its values, and a condition for `[data] where` is proposed. One condition is not only
proposed but set: a rating or quantity below zero, and an event that takes something back, is none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lexirec.data.inference.column_names import SAMPLE, names, words_of
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import Column, Source
from lexirec.data.readers.text_format import NULL_WORDS
from lexirec.data.readers.text_values import missing
from lexirec.data.readers.where import KEYWORDS

_RATINGS = frozenset(
    names(
        "rating ratings rate rated score scores stars star grade grades overall vote votes opinion preference feedback"
        " bewertung wertung note puntuacion nota valutazione ocena betyg"
    )
)
_QUANTITIES = frozenset(names("quantity qty count counts amount units anzahl menge cantidad quantite plays playcount"))
_KINDS = frozenset(names("event events action actions behavior behaviour interaction interactions eventtype verb"))
_KINDS_ALONE = frozenset(names("type kind activity operation status signal"))
"""Words that name kinds of events where they are the whole name."""
_FLAGS = frozenset(
    names("is has was clicked click liked like bought purchased read watched played skipped returned label")
)
_STRONGEST = names(
    "transaction purchase purchased purchases bought buy order ordered paid checkout addtocart cart basket add_to_cart"
    " favorite favourite fav wishlist like liked complete completed finished read watch watched play played listen"
    " install click clicked clk view viewed pageview pv impression"
)
"""Kinds of events, from what says most about a taste to what says least."""
_TAKEN_BACK = names(
    "remove removed removefromcart delete deleted cancel cancelled canceled return returned refund refunded dislike"
    " disliked unlike downvote thumbsdown hide hidden report reported block blocked unsubscribe unfollow uninstall"
)
"""First words, or whole names, of events that take something back."""

_FEW = 20
"""Different values up to which a column is named with all of them."""
_SHOWN = 12
"""Values that a remark shows."""
_GOOD = 0.8
"""Share of the largest rating from which a rating is proposed to count."""


@dataclass(frozen=True)
class Conditions:
    """Conditions on events.

    Attributes:
        where: The condition that is set, None for none.
        proposed: Further conditions, one per column, which are written as comments.
        remarks: A sentence per column.
    """

    where: str | None
    proposed: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Values:
    """The values of a column with their counts, the most frequent first; numbers where all of them are."""

    name: str
    counts: tuple[tuple[str, int], ...]
    numbers: bool
    lowest: float
    highest: float
    below: int
    empty: int

    @property
    def column(self) -> str:
        """The column as a condition names it."""
        bare = self.name.isidentifier() and self.name.lower() not in KEYWORDS
        return self.name if bare else '"' + self.name.replace('"', '""') + '"'

    def is_called(self, words: Collection[str]) -> bool:
        """Whether a word of the name is one of these."""
        return not set(words_of(self.name)).isdisjoint(words)


def event_conditions(
    work: Workspace, events: Source, used: Collection[str], words: Sequence[str] = NULL_WORDS
) -> Conditions:
    """Return conditions by which events may be left out, from the columns that have no role (`used` are those that do).

    A column is named if it is called like a rating, a quantity, a flag or a kind of event and has several values, or
    if its values are numbers of which some are below zero, few of them different, or known kinds of events.
    """
    where: list[str] = []
    proposed: list[str] = []
    remarks: list[str] = []
    for column in events.columns.values():
        if column.name in used or column.is_list or column.type.startswith(("DATE", "TIME", "STRUCT", "MAP")):
            continue
        values = _values(work, events, column, words)
        if values is None:
            continue
        needed, proposal = _needed(values), _proposal(values)
        if needed:
            where.append(needed)
        if proposal and proposal != needed:
            proposed.append(proposal)
        remarks.append(_remark(values, needed, proposal))
    return Conditions(" and ".join(where) or None, tuple(proposed), tuple(remarks))


# ------------------------------------------------------------------------------------------------------------ values


def _values(work: Workspace, events: Source, column: Column, words: Sequence[str]) -> _Values | None:
    """Return the values of a column that tells events apart; None for any other."""
    text, number = column.text, f"nullif(TRY_CAST({column.text} AS DOUBLE), 'nan')"
    sample = f"(SELECT {text} AS v, {number} AS n FROM {events.scan} LIMIT {SAMPLE})"
    ((rows, distinct, numbers, lowest),) = work.rows(
        f"SELECT count(*), count(DISTINCT v), count(n), min(n) FROM {sample} WHERE NOT {missing('v', words)}"
    )
    called = set(words_of(column.name))
    is_named = not called.isdisjoint(_RATINGS | _QUANTITIES | _KINDS | _FLAGS) or called <= _KINDS_ALONE
    is_few = 1 < distinct <= _FEW and distinct < rows
    if distinct < 2 or not (is_named or is_few):
        return None
    if not is_few and not (numbers == rows and not called.isdisjoint(_RATINGS | _QUANTITIES)):
        return None
    scan = f"(SELECT {text} AS v, {number} AS n FROM {events.scan})"
    filled = f"{scan} WHERE NOT {missing('v', words)}"
    counts = work.rows(f"SELECT v, count(*) FROM {filled} GROUP BY v ORDER BY count(*) DESC, v LIMIT {_FEW}")
    ((low, high, below, empty),) = work.rows(
        f"SELECT min(n), max(n), count_if(n < 0), count_if({missing('v', words)}) FROM {scan}"
    )
    if numbers == rows and called & _QUANTITIES and low > 0:
        return None
    if numbers == rows:
        counts = sorted(counts, key=lambda each: float(each[0]))
    plain = {_plain(value) for value, _ in counts}
    kinds = not plain.isdisjoint(_STRONGEST) or any(_is_taken_back(value) for value, _ in counts)
    if not is_named and not (kinds if numbers < rows else lowest is not None and lowest < 0):
        return None
    return _Values(column.name, tuple(counts), numbers == rows, low or 0.0, high or 0.0, below, empty)


def _plain(value: str) -> str:
    return "".join(letter for letter in value.casefold() if letter.isalnum())


def _is_taken_back(value: str) -> bool:
    words = words_of(value)
    return bool(words) and (words[0] in _TAKEN_BACK or _plain(value) in _TAKEN_BACK)


# -------------------------------------------------------------------------------------------------------- conditions


def _needed(values: _Values) -> str:
    """Return the condition without which events count that take something back; "" for none."""
    if values.numbers:
        if not values.below or not values.is_called(_RATINGS | _QUANTITIES):
            return ""
        condition = f"{values.column} {'>' if values.is_called(_QUANTITIES) else '>='} 0"
    else:
        back = [value for value, _ in values.counts if _is_taken_back(value)]
        if not back or len(back) == len(values.counts):
            return ""
        condition = f"{values.column} not in ({', '.join(map(_text, back))})"
    return f"({condition} or {values.column} is null)" if values.empty else condition


def _proposal(values: _Values) -> str:
    """Return a condition that keeps the events that say most about a taste; "" where there is none to propose."""
    if not values.numbers and {value.casefold() for value, _ in values.counts} <= {"true", "false"}:
        return f"{values.column} = true"
    if not values.numbers:
        ranked = {_plain(value): value for value, _ in values.counts}
        best = next((ranked[kind] for kind in map(_plain, _STRONGEST) if kind in ranked), values.counts[0][0])
        return f"{values.column} = {_text(best)}"
    if values.is_called(_QUANTITIES) or values.highest <= 1:
        return f"{values.column} > 0" if values.lowest <= 0 else ""
    enough = [number for value, _ in values.counts if (number := float(value)) >= _GOOD * values.highest]
    return f"{values.column} >= {min(enough):g}" if enough and min(enough) > values.lowest else ""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _remark(values: _Values, needed: str, proposal: str) -> str:
    shown = ", ".join(f"{value} ({count:,})" for value, count in values.counts[:_SHOWN])
    if values.numbers and len(values.counts) > _SHOWN:
        below = f", {values.below:,} of them below zero" if values.below else ""
        shown = f"from {values.lowest:g} to {values.highest:g}{below}"
    elif len(values.counts) > _SHOWN:
        shown += ", …"
    start = f"column '{values.name}' of the events has the values {shown}"
    if needed:
        return f"{start}; where leaves out those that take something back ({needed})"
    return f"{start}; all count as events, unless where says otherwise, such as {proposal}" if proposal else start

"""Schema inference: which columns of two tables are item ids, user ids, times, texts and split labels.

Names are compared without case and punctuation (`movieId`, `movie_id`). Where names do not decide, values do: the item
column of the events is the one whose values are ids of the items.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from lexirec.core.errors import DataError
from lexirec.data.inference.column_names import first_called, names, plain, words_of
from lexirec.data.inference.events import event_conditions
from lexirec.data.inference.ids import event_rows
from lexirec.data.inference.texts import text_columns
from lexirec.data.inference.times import TimeChoice, infer_order
from lexirec.data.readers.duckdb_source import Workspace, one_line
from lexirec.data.readers.events import SPLIT_LABELS
from lexirec.data.readers.format_sniffing import sniff_format
from lexirec.data.readers.id_spelling import IdSpelling
from lexirec.data.readers.sql_columns import Column, Source
from lexirec.data.readers.text_format import TextFormats
from lexirec.data.readers.time_recognition import TimeUnit

_USER = names(
    "user_id user reviewer_id customer_id customer uid member_id member visitor_id account_id author_id person_id"
    " client_id username login session_id"
)
_USER_WORDS = names(
    "user users reviewer customer cust member visitor account client buyer shopper subscriber reader viewer listener"
    " player learner student profile household kunde kunden benutzer nutzer utilisateur usuario cliente utente"
    " gebruiker kund uzytkownik klient 用户 用户id ユーザー 사용자 пользователь клиент session"
)
_ID_WORDS = frozenset(names("id ids no nr num number code key hash uuid guid name nummer"))
"""Last words of the name of a column of ids."""
_SPLIT = names("split fold part")


@dataclass(frozen=True)
class Guess:
    """Inferred columns of a table of items and a table of events.

    Attributes:
        text: Our names of the text fields, in the order in which texts present them.
        item_columns: Our names -> the items' columns, where they differ.
        interaction_columns: Our names -> the events' columns, where they differ; "" for a column that has one of our
            names but holds something else.
        time_unit: Unit of the times.
        order: What orders a user's events: "time", "position" or "" for the order of the file.
        published_split: Whether a column labels events as training, validation and test.
        known: Share of the events (of a sample) whose item is in the table of items.
        remarks: Notes for the user, one sentence each.
        match_ids: Differences in spelling between the item ids of the two tables.
        formats: How the two files are written, where that is not the usual.
        where: Condition that events must meet to count, None for none.
        proposed: Further conditions that may be wanted.
    """

    text: tuple[str, ...]
    item_columns: dict[str, str]
    interaction_columns: dict[str, str]
    time_unit: TimeUnit
    order: str
    published_split: bool
    known: float
    remarks: tuple[str, ...]
    match_ids: tuple[IdSpelling, ...] = ()
    formats: TextFormats = field(default_factory=TextFormats)
    where: str | None = None
    proposed: tuple[str, ...] = ()


def guess_tables(items: Path | str, interactions: Path | str, times: TimeChoice | None = None) -> Guess:
    """Infer the columns of a table of items and a table of events.

    Args:
        items: The table of items.
        interactions: The table of events.
        times: What is known of the times of events.

    Raises:
        DataError: a file cannot be read, has no column of item ids, user ids or texts, or has times that cannot be read
            with certainty; one line.
    """
    with Workspace() as work:
        of_items, about_items = sniff_format(work, Path(items))
        of_events, about_events = sniff_format(work, Path(interactions))
        sources = work.open(items, of_items), work.open(interactions, of_events)
        try:
            guess = _guess(work, *sources, times or TimeChoice())
        except duckdb.Error as error:
            raise DataError(f"{items}, {interactions}: a file cannot be read ({one_line(error)}).") from error
    formats = TextFormats(items=of_items, interactions=of_events)
    return replace(guess, formats=formats, remarks=(*about_items, *about_events, *guess.remarks))


def _guess(work: Workspace, items: Source, events: Source, times: TimeChoice) -> Guess:
    events, ids = event_rows(work, items, events)
    item, bought = ids.items, ids.events
    user = _user_column(work, events, bought)
    texts = text_columns(work, items, item)
    interaction_columns = {"user_id": user.name, "item_id": bought.name}
    order = infer_order(work, events, user, bought, times)
    if order.kind:
        interaction_columns[order.kind] = order.column
    split = first_called(events, _SPLIT, besides=(user, bought))
    published = split is not None and _is_split(work, events, split)
    if split is not None and published:
        interaction_columns["split"] = split.name
    for role in ("time", "position", "split"):  # a column of that name with other content must be ignored explicitly
        if role in events.columns and role not in interaction_columns and (role != "position" or order.kind != "time"):
            interaction_columns[role] = ""
    conditions = event_conditions(work, events, interaction_columns.values())
    return Guess(
        tuple(texts.fields),
        {ours: column.name for ours, column in {"item_id": item, **texts.fields}.items() if ours != column.name},
        {ours: name for ours, name in interaction_columns.items() if ours != name},
        order.unit,
        order.kind,
        published,
        ids.known,
        (*ids.remarks, *texts.remarks, *order.remarks, *conditions.remarks),
        ids.match_ids,
        where=conditions.where,
        proposed=conditions.proposed,
    )


def _user_column(work: Workspace, events: Source, bought: Column) -> Column:
    """Return the column called like the id of a user: by a usual name, else by a word for users and one for ids."""
    user = first_called(events, _USER, besides=(bought,))
    if user is not None:
        return user
    known = [plain(word) for word in _USER_WORDS]
    ranked: list[tuple[int, int, Column]] = []
    for column in events.columns.values():
        words = words_of(column.name)
        found = [known.index(word) for word in words if word in known]
        if found and not column.is_list and column.name != bought.name and words[-1] in {*known, *_ID_WORDS}:
            ranked.append((min(found), len(ranked), column))
    if not ranked:
        raise DataError(
            f"{events.path}: no column is named like a user id ({events.column_names}); "
            'write [data] by hand, with interaction_columns = {user_id = "…"}'
        )
    return min(ranked)[2]


def _is_split(work: Workspace, events: Source, column: Column) -> bool:
    """Return whether a column holds only names of the parts of a split, with test among them."""
    labels = {row[0] for row in work.rows(f"SELECT DISTINCT lower(trim({column.text})) FROM {events.scan} LIMIT 20")}
    return labels <= set(SPLIT_LABELS) and "test" in labels and len(labels) > 1

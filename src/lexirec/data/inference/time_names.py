"""Names of columns of event times: which is likely to be the moment of the event, which that of something else."""

from __future__ import annotations

import re

from lexirec.data.inference.column_names import names, plain

TIME_NAMES = names(
    "time timestamp event_time event_timestamp unix_review_time unix_time ts datetime date t_dat created_at"
    " invoice_date review_time"
)
"""Usual names, likeliest first."""
POSITION_NAMES = names("position step sequence seq order index")
"""Names of columns that number the events of a user."""
UNSAID, LAST = 3, 4
"""Ranks of names that say nothing, and of those that say that a time is of something else than the event."""

_TIME_WORDS = frozenset(
    names(
        "time times timestamp timestamps ts date dates datetime dt dat day at when on ms us ns epoch unix moment stamp"
        " clock utc gmt unixtime datum zeit fecha fecha_hora hora heure jour data tijd"
    )
)
_EVENT_WORDS = frozenset(
    names(
        "event order ordered purchase purchased buy bought invoice invoiced transaction transacted trans txn sale sold"
        " review reviewed rating rated rate interaction click clicked view viewed watch watched listen listened play"
        " played visit visited action activity request session log logged add added create created checkout basket cart"
        " read search use used like liked download downloaded stream post posted comment commented"
    )
)
_OTHER_WORDS = frozenset(
    names(
        "update updated modify modified edit edited change changed ship shipped shipping deliver delivered delivery"
        " due pay paid payment expire expires expiry expired end ended close closed birth born dob signup signed join"
        " joined register registered registration member release released publish published launch launched delete"
        " deleted cancel cancelled canceled return returned refund import imported load loaded process processed"
        " ingest ingested scrape scraped crawl crawled export exported last until valid arrival arrived available"
    )
)
_NOT_A_TIME = frozenset(
    names(
        "id ids no nr num number code key phone tel zip isbn ean upc gtin barcode sku price amount quantity qty count"
    )
)


def words_of(name: str) -> list[str]:
    """Return the words of a name: "reviewTime" and "Review-Time" have two."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def rank_of(name: str) -> tuple[int, int]:
    """Return how likely a column with times has those of the events, by its name: the lowest is the likeliest.

    Usual names come first, in their order; then names with a word for an event and one for a time (`order_date`); then
    those with one of the two (`when`, `created`); then those that say nothing; last those of other moments
    (`updated_at`, `ship_date`, `birth_date`).
    """
    known = [plain(each) for each in TIME_NAMES]
    if plain(name) in known:
        return 0, known.index(plain(name))
    words = set(words_of(name))
    if words & _OTHER_WORDS:
        return LAST, 0
    return UNSAID - bool(words & _TIME_WORDS) - bool(words & _EVENT_WORDS), 0


def sounds_like_time(name: str) -> bool:
    """Return whether a name says that a column holds times."""
    return bool(set(words_of(name)) & _TIME_WORDS) or rank_of(name)[0] == 0


def sounds_like_number(name: str) -> bool:
    """Return whether a name says that numbers are ids, amounts or the like."""
    words = words_of(name)
    return bool(set(words) & _NOT_A_TIME) or any(word.endswith("id") and len(word) > 4 for word in words[-1:])

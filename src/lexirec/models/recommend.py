"""Recommend items for one history of item ids, with item filters (`data.item_filters`) and explanations."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import expect
from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.filter_columns import shown

# both names are also known by this module, where they stood before
from lexirec.data.item_filters import allowed_items as allowed_items
from lexirec.data.item_filters import matches as matches
from lexirec.data.item_filters import select_items
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.ranking_rules import GivenRules, RankedItems, Rules, compile_rules, rank_with_rules
from lexirec.models.rule_texts import BoostsGiven, QuotasGiven

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item_id: Id of the item.
        score: The score that ranks the list; comparable within one list only.
        title: Its title, else its first text field; "" where unknown.
        because: With `explain`, `(item_id, share of the score)` of the history's items, the most influential first.
    """

    item_id: str
    score: float
    title: str
    because: tuple[tuple[str, float], ...] = field(default=())


class Recommendations(list[Recommendation]):
    """A list of recommendations, the best first.

    Attributes:
        remarks: One line per filter that could not be decided for some items; see `data.item_filters`.
    """

    def __init__(self, found: Iterable[Recommendation] = (), remarks: Sequence[str] = ()) -> None:
        """Make the list."""
        super().__init__(found)
        self.remarks = tuple(remarks)


class Options(TypedDict, total=False):
    """Options of a request besides the history and k; see `recommend`."""

    exclude_seen: bool
    explain: bool
    allow: Sequence[str]
    deny: Sequence[str]
    allow_items: Sequence[str]
    deny_items: Sequence[str]
    candidates: Sequence[str] | None
    boosts: BoostsGiven
    at_most: QuotasGiven
    new_items: float


def recommend(
    recommender: Recommender, history: Sequence[str], *, k: int = 10, **options: Unpack[Options]
) -> Recommendations:
    """Recommend items for one history.

    A filter that cannot be decided for some items leaves them out, and an id that no item has is ignored; lines that
    say so stand in `remarks` of the result and are logged as warnings.

    Args:
        recommender: Any recommender.
        history: Item ids, oldest first; may be empty where the recommender can rank for new users.
        k: Number of items, at most.
        **options: `exclude_seen` (True): leave out the items of the history.
            `allow`: filters every item must match, see `data.item_filters`.
            `deny`: filters no item may match.
            `allow_items`: ids; no other item is listed. An empty list is no wish.
            `deny_items`: ids that are not listed.
            `candidates`: ids that alone are ranked; None is no wish, an empty list leaves no item.
            `boosts`: numbers added to the log-scores of matching items, such as `["0.7:stock>0"]`, `{"stock>0": 0.7}`
            or `[Boost("stock>0", 0.7)]`.
            `at_most`: at most so many items with one value of a field, such as `["brand=2"]` or `{"brand": 2}`.
            `new_items`: share of the places, 0 … 1, kept for items newer than the recommender, which are those that
            its attribute `newer_items` marks, bool (n_items,); a recommender without it knows of none.
            `explain`: attribute each recommendation to items of the history, by how much its score falls when the item
            is removed from the history.

    Raises:
        DataError: k is below 1, an item or field is unknown, the filters leave no item, there is no such option, or an
            argument is of another type.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise DataError(f"k is {k!r}; set it to a whole number of at least 1")
    if isinstance(history, (str, bytes)):
        raise DataError(f"history is the text {shown(str(history))}; pass a list of item ids, oldest first")
    expect("history", history, Iterable, "pass a list of item ids, oldest first")
    if not hasattr(recommender, "rank"):
        raise DataError(f"recommender is of type {type(recommender).__name__}; pass one that load_recommender returns")
    given: dict[str, Any] = dict(options)
    exclude_seen, explain = given.pop("exclude_seen", True), given.pop("explain", False)
    if not isinstance(exclude_seen, (bool, np.bool_)):
        raise DataError(f"exclude_seen = {exclude_seen!r}: pass True or False")
    history = list(history)
    catalog = recommender.catalog
    numbers = catalog.numbers(history)
    rules = _compiled(recommender, GivenRules.of(**given))
    seen = [numbers] if exclude_seen else None
    (ranked,) = rank_with_rules(recommender, Sequences.from_lists([numbers.tolist()]), [k], [rules], seen=seen)
    reasons = attribute(recommender, numbers, ranked, rules.boosts) if explain else ()
    titles = _titles(catalog.take(ranked.items))  # of the list alone: a catalogue has millions
    found = (
        Recommendation(
            catalog.item_ids[item],
            float(ranked.scores[rank]),
            titles[rank],
            tuple((history[event], share) for event, share in reasons[rank]) if reasons else (),
        )
        for rank, item in enumerate(ranked.items)
    )
    return Recommendations(found, rules.remarks)


def _compiled(recommender: Recommender, given: GivenRules) -> Rules:
    """Compile the rules of a request and log their remarks.

    Raises:
        DataError: they cannot be compiled, or the filters leave no item.
    """
    rules = compile_rules(recommender.catalog, given, newer=getattr(recommender, "newer_items", None))
    if rules.allowed is not None and not rules.allowed.any():
        select_items(recommender.catalog, given.allow, given.deny)
    for remark in rules.remarks:
        _log.warning("%s", remark)
    return rules


def _titles(catalog: Catalog) -> list[str]:
    if "title" in catalog.table.column_names:
        return catalog.field("title")
    return catalog.field(catalog.text_fields[0]) if catalog.text_fields else [""] * len(catalog)


def attribute(
    recommender: Recommender,
    history: NDArray[np.int32],
    ranked: RankedItems,
    boosts: NDArray[np.float32] | None = None,
    *,
    newest: int = 100,
) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Attribute every item of a list to events of the history: by how much its score falls without the event.

    Args:
        recommender: that made the list.
        history: item numbers, int32 (events,), oldest first.
        ranked: the list.
        boosts: as in `Rules`.
        newest: events that are tried; each costs a row of one more ranking.

    Returns:
        For every place up to three `(place in the history, share of all drops)`, the largest first; nothing without a
        history.
    """
    tried = np.arange(max(len(history) - newest, 0), len(history))
    if not len(tried) or not len(ranked.items):
        return ()
    drops = _score_drops(recommender, history, tried, ranked, boosts)
    return tuple(_attribution(drops[:, place], tried) for place in range(len(ranked.items)))


def _score_drops(
    recommender: Recommender,
    history: NDArray[np.int32],
    tried: NDArray[np.int64],
    ranked: RankedItems,
    boosts: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """Return how much each item's score drops when one of the tried events is removed: (tried, items)."""
    items, scores = ranked.items, ranked.scores
    without = Sequences.from_lists([np.delete(history, event).tolist() for event in tried])
    only = np.zeros(len(recommender.catalog), dtype=np.bool_)
    only[items] = True
    boosted: dict[str, Any] = {} if boosts is None else {"boosts": boosts}
    ranking = recommender.rank(without, k=len(items), exclude_seen=False, allowed=only, **boosted)
    column_of = np.full(len(only) + 1, -1, dtype=np.int64)
    column_of[items] = np.arange(len(items))
    remaining = np.full((len(tried), len(items)), -np.inf)
    rows, columns = np.nonzero(ranking.items >= 0)
    remaining[rows, column_of[ranking.items[rows, columns]]] = ranking.scores[rows, columns]
    drops: NDArray[np.float64] = scores.astype(np.float64) - remaining
    return drops


def _attribution(drops: NDArray[np.float64], tried: NDArray[np.int64]) -> tuple[tuple[int, float], ...]:
    """Return up to three of the tried events with the largest drops and their shares of all drops."""
    drops = np.where(np.isposinf(drops), np.finfo(np.float32).max, np.maximum(drops, 0.0))
    total = drops.sum()
    order = [int(event) for event in np.argsort(-drops, kind="stable")[:3] if drops[event] > 0]
    return tuple((int(tried[event]), float(drops[event] / total)) for event in order)

"""Rules of a request, compiled against a catalogue: which items are legal, boosts, quotas, a share for new items.

| rule | effect |
|---|---|
| `allow`, `deny` | filters (`data.item_filters`): a legal item matches every one of `allow`, and none of `deny` |
| `allow_items`, `deny_items` | ids: with `allow_items`, no other item is legal; none of `deny_items` is |
| `candidates` | ids that alone are legal; unlike `allow_items`, an empty list leaves no item |
| `boosts` | numbers added to the log-scores of the items that match a filter; several add up |
| `at_most` | quotas: at most so many items with one value of a field |
| `new_items` | share of the places kept for items that are newer than the model |

Ids that no item has are ignored and listed. `models.ranking_rules` ranks by compiled rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.arguments import expect
from lexirec.core.errors import DataError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.data.filter_columns import shown
from lexirec.data.item_filters import filter_items, judged
from lexirec.models.quotas import CompiledQuota
from lexirec.models.rule_texts import Boost, BoostsGiven, QuotasGiven, given_boosts, given_quotas

_MOST_SHOWN = 10


@dataclass(frozen=True)
class GivenRules:
    """The rules of one request as they are given; see the module's docstring."""

    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    allow_items: Sequence[str] = ()
    deny_items: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    boosts: BoostsGiven = ()
    at_most: QuotasGiven = ()
    new_items: float = 0.0

    @classmethod
    def of(cls, **rules: Any) -> GivenRules:
        """Make rules from keyword arguments.

        Raises:
            DataError: there is no such rule.
        """
        names = [each.name for each in fields(cls)]
        for name in rules:
            if name not in names:
                raise DataError(
                    f"there is no option {shown(name)}; there are {', '.join(names)}.{did_you_mean(name, names)}"
                )
        return cls(**rules)


@dataclass(frozen=True)
class Rules:
    """The rules of one request, compiled against a catalogue; arrays may be shared between requests.

    Attributes:
        allowed: Legal items, bool (n_items,); None: all.
        boosts: Added to log-scores, float32 (n_items,); None: nothing.
        quotas: Groups of items of which a list holds a limited number.
        new_items: Share of the places, 0 … 1, kept for items of `newer`.
        newer: Items newer than the model, bool (n_items,); None: none is.
        remarks: One line per filter that could not be decided for some items, and per list with unknown ids.
        unknown_items: Ids that no item has, each once, in the order in which they were given.
    """

    allowed: NDArray[np.bool_] | None = None
    boosts: NDArray[np.float32] | None = None
    quotas: tuple[CompiledQuota, ...] = ()
    new_items: float = 0.0
    newer: NDArray[np.bool_] | None = None
    remarks: tuple[str, ...] = ()
    unknown_items: tuple[str, ...] = ()


def compile_rules(catalog: Catalog, given: GivenRules, *, newer: NDArray[np.bool_] | None = None) -> Rules:
    """Compile the rules of a request.

    Args:
        catalog: The items, or any table of facts about them with the same rows.
        given: The rules.
        newer: Items newer than the model, bool (n_items,).

    Raises:
        DataError: A filter, boost or quota cannot be read, names an unknown field, or an argument is of another type.
            That no item is left is none.
    """
    left = filter_items(catalog, given.allow, given.deny)
    remarks, unknown = list(left.remarks), list[str]()
    masks = [] if left.mask is None else [left.mask]
    for name in ("allow_items", "deny_items", "candidates"):
        ids = getattr(given, name)
        if ids is None or (name != "candidates" and _is_empty(name, ids)):
            continue
        mask, missing = _listed_items(catalog, name, ids)
        masks.append(~mask if name == "deny_items" else mask)
        remarks += [_unknown_remark(name, missing)] if missing else []
        unknown += missing
    boosts, remarks_of_boosts = _boosts(catalog, given_boosts(given.boosts))
    quotas = given_quotas(given.at_most, catalog.table.column_names)
    share = given.new_items
    number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not number or not 0 <= share <= 1:  # NaN is not
        raise DataError(f"new_items is {share!r}; it should be a share of the places, from 0 to 1")
    if share and newer is None:
        remarks.append("new_items: no item is known to be newer than the recommender, so no place is kept")
    return Rules(
        allowed=np.logical_and.reduce(masks) if masks else None,
        boosts=boosts,
        quotas=tuple(CompiledQuota.of_field(catalog, quota.field, quota.count) for quota in quotas),
        new_items=float(share),
        newer=newer,
        remarks=(*remarks, *remarks_of_boosts),
        unknown_items=tuple(dict.fromkeys(unknown)),
    )


def _is_empty(name: str, ids: Any) -> bool:
    _check_ids(name, ids)
    return not len(ids)


def _check_ids(name: str, ids: Any) -> None:
    if isinstance(ids, (str, bytes)):
        raise DataError(f"{name} is the text {shown(str(ids))}; pass a list of item ids")
    expect(name, ids, Sequence, "pass a list of item ids")


def _listed_items(catalog: Catalog, name: str, ids: Any) -> tuple[NDArray[np.bool_], list[str]]:
    """Return the items with these ids as a mask, and the ids that no item has."""
    _check_ids(name, ids)
    for each in ids:
        if not isinstance(each, str):
            raise DataError(f"{name}: item ids are text, but {each!r} is of type {type(each).__name__}; pass '{each}'")
    try:
        numbers = catalog.find(ids)
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: {error.object!r} is no UTF-8 text, so no item has this id") from None
    mask = np.zeros(len(catalog), dtype=np.bool_)
    mask[numbers[numbers >= 0]] = True
    return mask, list(dict.fromkeys(ids[place] for place in np.flatnonzero(numbers < 0)))


def _unknown_remark(name: str, ids: Sequence[str]) -> str:
    some = ", ".join(shown(each) for each in ids[:_MOST_SHOWN]) + (", …" if len(ids) > _MOST_SHOWN else "")
    which = "this id, which is" if len(ids) == 1 else f"these {len(ids):,} ids, which are"
    return f"{name}: no item has {which} ignored: {some}"


def _boosts(catalog: Catalog, boosts: Iterable[Boost]) -> tuple[NDArray[np.float32] | None, list[str]]:
    """Return the sum of boosts per item, None without any, and remarks about items that filters cannot decide."""
    total, remarks = None, []
    for boost in boosts:
        parsed, verdict = judged(catalog, boost.filter)
        total = np.zeros(len(catalog), dtype=np.float32) if total is None else total
        total += np.where(verdict.match, np.float32(boost.weight), np.float32(0))
        if verdict.unreadable.any():
            remarks.append(
                f"boost {shown(parsed.text)}: {int(verdict.unreadable.sum()):,} of {len(catalog):,} items have a "
                f"{shown(parsed.field)} that {verdict.problem}; they are not boosted"
            )
    return total, remarks

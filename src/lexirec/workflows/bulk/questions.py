"""The question of a run: one request, asked for every user, and what tells its lists from those of other runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lexirec.core.errors import DataError, SettingsError, did_you_mean
from lexirec.data.catalog import Catalog
from lexirec.models.compiled_rules import Rules
from lexirec.models.rule_texts import BoostsGiven, QuotasGiven, given_boosts, given_quotas
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.schemas.recommend import RecommendRequest
from lexirec.shards.plan import digest_of


class RuleOptions(TypedDict, total=False):
    """Rules of all lists, with the meanings and forms of `models.recommend.recommend`.

    `return_fields` are fields of the items that stand beside the ids.
    """

    exclude_seen: bool
    allow: Sequence[str]
    deny: Sequence[str]
    allow_items: Sequence[str]
    deny_items: Sequence[str]
    candidates: Sequence[str] | None
    boosts: BoostsGiven
    at_most: QuotasGiven
    new_items: float
    return_fields: Sequence[str]


def question_of(catalog: Catalog, k: int, options: RuleOptions) -> RecommendRequest:
    """Return the request.

    Raises:
        DataError: a boost or a quota cannot be read.
        SettingsError: there is no such rule, or a value is not allowed.
    """
    known = RuleOptions.__annotations__
    for name in options:
        if name not in known:
            raise SettingsError(
                f"there is no option '{name}'; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )
    values: dict[str, Any] = {**options, "k": k, "allow_items": options.get("allow_items") or None}
    boosts = given_boosts(options.get("boosts", ()))
    quotas = given_quotas(options.get("at_most", ()), catalog.table.column_names)
    values["boosts"] = [{"filter": boost.filter, "weight": boost.weight} for boost in boosts]
    values["at_most"] = [{"field": quota.field, "count": quota.count} for quota in quotas]
    try:
        return RecommendRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{place} = {first['input']!r:.80}: {first['msg'].removeprefix('Value error, ')}") from None


def check_any_left(rules: Rules) -> None:
    """Check that the rules leave an item.

    Raises:
        DataError: they leave none.
    """
    if rules.allowed is not None and not rules.allowed.any():
        raise DataError("the filters and lists of ids leave no item that is available; loosen them")


def digest_of_lists(snapshot: Snapshot, body: RecommendRequest, rules: Rules) -> str:
    """Return a digest of all that a user's list depends on besides the user's events: model, items and rules."""
    total = hashlib.sha256(
        f"{snapshot.model.reference} {snapshot.catalog_version} {body.k} {body.exclude_seen}".encode()
    )
    arrays: list[NDArray[Any] | None] = [rules.allowed, rules.boosts, rules.newer if rules.new_items else None]
    for quota in rules.quotas:
        total.update(f"{quota.field}={quota.count}".encode())
        arrays += [quota.offsets, quota.groups]
    total.update(f"{rules.new_items} {body.candidates is None}".encode())
    for array in arrays:
        total.update(b"\0" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
    shown = Catalog(snapshot.catalog.table.select(["item_id", *dict.fromkeys(body.return_fields)]), ())
    return digest_of([total.hexdigest(), shown.digest, list(body.return_fields)])

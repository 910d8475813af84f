"""Compile the rules of a request against a snapshot, and keep compiled ones: many requests have the same rules."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.models.compiled_rules import GivenRules, Rules, compile_rules
from lexirec.models.rule_texts import AtMost, Boost
from lexirec.serving.answering.snapshot import ModelIdentity, Snapshot, SnapshotKey
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.recommend import RankRequest, RecommendRequest, SimilarRequest

Question: TypeAlias = RecommendRequest | RankRequest | SimilarRequest
MOST_LISTED = 64
"""Rules with longer lists of ids are compiled anew each time: they hardly come again."""
_LEAST_BYTES = 512


class Compiled(NamedTuple):
    """Compiled rules, ids of the request that no item has, and remarks about filters."""

    rules: Rules
    unknown: tuple[str, ...]
    remarks: tuple[str, ...]


class CacheCounters(Protocol):
    """Counts hits and misses; prometheus' counters have this form."""

    mask_hits: Any
    mask_misses: Any


class RuleCompiler:
    """Compiles rules, and keeps the most recently used ones up to a number of bytes."""

    def __init__(self, most_bytes: int, counters: CacheCounters | None = None) -> None:
        """Keep compiled rules of at most so many bytes; `counters` hear of hits and misses."""
        self._most, self._counters = most_bytes, counters
        self._kept: OrderedDict[Hashable, tuple[Compiled, int]] = OrderedDict()
        self._newest: dict[ModelIdentity, SnapshotKey] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def rules(self, snapshot: Snapshot, question: Question) -> Compiled:
        """Return the rules of a request against a snapshot's catalogue.

        Raises:
            ProblemError: a filter, boost or quota cannot be used; the message is the command line's.
        """
        snapshot.check_fields(question.return_fields)
        given = _given(question)
        lists = (given.allow_items, given.deny_items, given.candidates or ())
        key: Hashable = None
        if sum(map(len, lists)) <= MOST_LISTED:
            key = (snapshot.key, given.candidates is None, *map(tuple, lists), *_texts(given))
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    self._count(hit=True)
                    return self._kept[key][0]
        self._count(hit=False)
        compiled = _compile(snapshot, question, given)
        if key is not None:
            self._keep(snapshot, key, compiled)
        return compiled

    def _count(self, *, hit: bool) -> None:
        if self._counters is not None:
            (self._counters.mask_hits if hit else self._counters.mask_misses).inc()

    def _keep(self, snapshot: Snapshot, key: Hashable, compiled: Compiled) -> None:
        size = _size(compiled.rules)
        with self._lock:
            self._forget_before(snapshot)
            if key in self._kept or size > self._most:
                return
            self._kept[key] = compiled, size
            self._bytes += size
            while self._bytes > self._most:
                self._bytes -= self._kept.popitem(last=False)[1][1]

    def _forget_before(self, snapshot: Snapshot) -> None:
        """Drop what was compiled for earlier facts of the same model: hardly a request has them any more."""
        newest = self._newest.get(snapshot.model)
        if newest is not None and snapshot.key[2:] <= newest[2:]:
            return
        self._newest[snapshot.model] = snapshot.key
        for key in [key for key in self._kept if newest is not None and _snapshot_of(key) == newest]:
            self._bytes -= self._kept.pop(key)[1]


def _snapshot_of(key: Hashable) -> Hashable:
    return key[0] if isinstance(key, tuple) else None


def _given(question: Question) -> GivenRules:
    if isinstance(question, SimilarRequest):
        return GivenRules(question.allow, question.deny, (), question.deny_items)
    candidates = question.candidates
    if question.allow_items is not None:  # unlike candidates, an empty list would allow all items
        allowed = set(question.allow_items)
        candidates = tuple(
            question.allow_items if candidates is None else (each for each in candidates if each in allowed)
        )
    return GivenRules(
        allow=question.allow,
        deny=question.deny,
        deny_items=question.deny_items,
        candidates=candidates,
        boosts=tuple(Boost(boost.filter, boost.weight) for boost in question.boosts),
        at_most=tuple(AtMost(quota.field, quota.count) for quota in getattr(question, "at_most", ())),
        new_items=getattr(question, "new_items", 0.0),
    )


def _texts(given: GivenRules) -> tuple[Hashable, ...]:
    """Return what tells rules apart besides their lists of ids; both are tuples here."""
    return tuple(given.allow), tuple(given.deny), tuple(given.boosts), tuple(given.at_most), given.new_items


def _compile(snapshot: Snapshot, question: Question, given: GivenRules) -> Compiled:
    try:
        rules = compile_rules(snapshot.catalog, given, newer=snapshot.newer)
    except DataError as error:
        message, place = str(error), _place(question, str(error))
        raise ProblemError("invalid-filter", message, [(place, message)] if place else ()) from None
    allowed = _both(rules.allowed, snapshot.available)
    filters = tuple(remark for remark in rules.remarks if not remark.startswith(("candidates:", "deny_items:")))
    return Compiled(replace(rules, allowed=allowed), rules.unknown_items, filters)


def _place(question: Question, message: str) -> str | None:
    """Return the JSON pointer of the filter that a message is about: the one it repeats."""
    for name in ("allow", "deny"):
        for index, text in enumerate(getattr(question, name)):
            if repr(text) in message or f"'{text}'" in message:
                return f"/{name}/{index}"
    for name, part in (("boosts", "filter"), ("at_most", "field")):
        for index, each in enumerate(getattr(question, name, ())):
            if f"'{getattr(each, part)}'" in message:
                return f"/{name}/{index}/{part}"
    return None


def _both(left: NDArray[np.bool_] | None, right: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if left is None or right is None:
        return right if left is None else left
    return left & right


def _size(rules: Rules) -> int:
    arrays = [each for each in (rules.allowed, rules.boosts) if each is not None]
    return (
        _LEAST_BYTES
        + sum(each.nbytes for each in arrays)
        + sum(quota.offsets.nbytes + quota.groups.nbytes for quota in rules.quotas)
    )

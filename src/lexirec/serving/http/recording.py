"""Record answers: metrics of every one, and for a share of the users what was shown, for later evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from lexirec.serving.answering.histories import owner_of
from lexirec.serving.answering.past_lists import snapshot_name
from lexirec.serving.database.impressions import Impression
from lexirec.serving.database.opening import Database
from lexirec.serving.http.metrics import Metrics
from lexirec.serving.schemas.recommend import RankRequest, Recommendation, RecommendRequest
from lexirec.serving.settings import ImpressionSettings

LONGEST_LIST = 200
"""Entries of a list of a request that are recorded."""
_DETAILS = {"legal_items", "used_events", "exact", "complete"}


class Recorder:
    """Counts answers, and writes those of a share of the users after they were given."""

    def __init__(self, database: Database, settings: ImpressionSettings, metrics: Metrics) -> None:
        """Write into a database, and count in metrics."""
        self._database, self._settings, self._metrics = database, settings, metrics

    def observe(
        self, body: RecommendRequest | RankRequest, answer: Recommendation, invalid: int, new: Sequence[int] = ()
    ) -> None:
        """Count an answer and its invalid items, and record it without waiting; what cannot be counts as dropped.

        Args:
            body: what was asked.
            answer: to it.
            invalid: number of its items that were not legal.
            new: ranks of its items that are newer than the model.
        """
        metrics = self._metrics
        metrics.invalid_items.inc(invalid)
        source = answer.items[0].source if answer.items else "none"
        metrics.recommendations.labels(answer.model.name, answer.variant, source).inc()
        if answer.fallback is not None:
            metrics.fallbacks.labels(answer.fallback).inc()
            metrics.recent.fell_back()
        if isinstance(body, RecommendRequest) and len(answer.items) < body.k:
            metrics.short_lists.labels("few-legal" if answer.complete else "quotas").inc()
        if answer.exact is False:
            metrics.inexact.inc()
        metrics.queue_seconds.observe(answer.took_ms.queue / 1000)
        owner = owner_of(answer.user_id, answer.session_id)
        if isinstance(body, RecommendRequest) and self._chosen(owner or answer.recommendation_id):
            self._write(body, answer, owner, new)

    def _chosen(self, name: str) -> bool:
        """Say whether the answers of a user are recorded: always the same users."""
        share = self._settings.share
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        return share >= 1 or int.from_bytes(digest, "big") < share * 2.0**64

    def _write(self, body: RecommendRequest, answer: Recommendation, owner: str | None, new: Sequence[int]) -> None:
        items = [item.model_dump(include={"item_id", "rank", "score", "source"}) for item in answer.items]
        for rank in new:
            items[rank - 1]["new"] = True
        impression = Impression(
            recommendation_id=answer.recommendation_id,
            user_id=owner,
            time=self._database.access.clock(),
            variant=answer.variant,
            snapshot=snapshot_name(answer.model.name, answer.model.version, answer.catalog_version),
            scenario=body.scenario,
            request=_shortened(body.model_dump(mode="json", exclude_defaults=True)),
            items=items,
            fallback=answer.fallback,
            details=answer.model_dump(mode="json", include=_DETAILS),
        )
        self._database.impressions.log(impression)


def _shortened(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with at most `LONGEST_LIST` entries of every list, of a history the newest."""
    for name, value in request.items():
        if isinstance(value, list) and len(value) > LONGEST_LIST:
            request[name] = value[-LONGEST_LIST:] if name == "history" else value[:LONGEST_LIST]
    return request

"""The process at a glance: health, what answers, percentiles, fallbacks, and the last minutes in intervals."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import Counter

from lexirec.core.environment import versions
from lexirec.serving.http.routes_models import model_answer
from lexirec.serving.http.service import Service
from lexirec.serving.schemas.workbench import OverviewAnswer
from lexirec.serving.workbench.recent import SECONDS


def overview(service: Service) -> OverviewAnswer:
    """Return the figures of the process; it asks the database whether it lives, so call it on a thread."""
    active, metrics, recent = service.snapshots.active, service.metrics, service.metrics.recent
    lists = sum(int(value) for _, value in _values(metrics.recommendations))
    fallbacks = {labels["reason"]: int(value) for labels, value in _values(metrics.fallbacks)}
    events: dict[str, int] = {}
    for labels, value in _values(metrics.events):
        events[labels["result"]] = events.get(labels["result"], 0) + int(value)
    return OverviewAnswer(
        lexirec=versions().get("lexirec") or "0",
        ready=service.health.report({**service.health.live, **service.health.ready}),
        model=model_answer(service, active),
        catalog=service.catalog_answer(active),
        seconds_since_start=round(time.monotonic() - service.started, 1),
        lists=lists,
        p50=recent.percentile(0.5),
        p99=recent.percentile(0.99),
        fallbacks=fallbacks,
        fallback_share=sum(fallbacks.values()) / lists if lists else 0.0,
        invalid_items=_total(metrics.invalid_items),
        inexact=_total(metrics.inexact),
        events=events,
        impressions_dropped=_total(metrics.impressions_dropped),
        waiting=service.engine.waiting,
        interval_seconds=SECONDS,
        intervals=recent.intervals(),
    )


def _values(counter: Counter) -> Iterator[tuple[dict[str, str], float]]:
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                yield dict(sample.labels), sample.value


def _total(counter: Counter) -> int:
    return int(sum(value for _, value in _values(counter)))

"""Prometheus metrics of one process: base units, counters that are counters, labels without ids."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from lexirec.serving.answering.snapshot import ModelIdentity
from lexirec.serving.workbench.recent import Recent

MEDIA_TYPE = CONTENT_TYPE_LATEST
SERIES = 200
"""Series of a process, at most: a test fills every label that clients can invent and counts."""
OPEN_LABELS = 36
"""Sets of labels of requests and events, at most, besides `OTHER`: clients can ask for any route and name any type."""
OTHER = "other"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_REQUESTS = (1, 4, 16, 32)
_TIMED = "/v1/recommend"


class Metrics:
    """All metrics of a service, in a registry of their own."""

    def __init__(self, types: Iterable[str] = ()) -> None:
        """Make them; `types` of events are always told apart."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # times of creation would double all counters
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lexirec_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lexirec_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"lexirec_{name}_seconds", text, labels, buckets=_SECONDS, registry=registry)

        self.requests = counter("http_requests_total", "Requests answered.", "route", "method", "status")
        self.request_seconds = seconds(
            "http_request", "Seconds from a request to its answer; routes but that of lists are 'other'.", "route"
        )
        self.queue_seconds = seconds("queue", "Seconds that a request waited for the model.")
        self.queue_length = gauge("queue_length", "Requests that wait for the model.")
        self.batch_requests = Histogram(
            "lexirec_batch_requests", "Requests of a batch.", (), buckets=_REQUESTS, registry=registry
        )
        self.batch_tokens = Summary("lexirec_batch_tokens", "Tokens of a batch.", registry=registry)
        self.model_seconds = seconds(
            "model", "Seconds that the model took for a batch: search of lists, score of candidates, explain.", "stage"
        )
        self.recommendations = counter("recommendations_total", "Lists answered.", "model", "variant", "source")
        self.fallbacks = counter("fallbacks_total", "Lists that a simpler model answered.", "reason")
        self.short_lists = counter("short_lists_total", "Lists with fewer items than asked for.", "reason")
        self.invalid_items = counter("invalid_items_total", "Items in lists that were not legal; must stay 0.")
        self.inexact = counter("inexact_total", "Lists that are not provably those of an exhaustive search.")
        self.events = counter("events_total", "Events received.", "type", "result")
        self.commit_seconds = seconds("commit", "Seconds of a transaction of the writer.")
        self.commit_rows = Summary("lexirec_commit_rows", "Rows of a transaction of the writer.", registry=registry)
        self.catalog_version = gauge("catalog_version", "Version of the catalogue that answers.")
        self.catalog_items = gauge("catalog_items", "Items: live, staged, hidden, removed.", "state")
        self.catalog_lag = gauge("catalog_lag_seconds", "Seconds that staged changes have waited for a version.")
        self.publishes = counter("publishes_total", "Versions of the catalogue that were made, or failed.", "result")
        self.swaps = counter("swaps_total", "Changes of what answers.", "kind", "result")
        self.model_info = gauge("model_info", "The model that answers: always 1.", "name", "version")
        self.shadows = counter("shadows_total", "Lists that the candidate computed beside the answer.", "result")
        self.shadow_overlap = Summary(
            "lexirec_shadow_overlap_ratio", "Share of a list that the candidate's holds, too.", registry=registry
        )
        self.impressions_dropped = counter("impressions_dropped_total", "Answers that could not be recorded.")
        self.mask_hits = counter("mask_cache_hits_total", "Compiled rules taken from the cache.")
        self.mask_misses = counter("mask_cache_misses_total", "Rules compiled.")
        self.recent = Recent()
        self._open = _Room(OPEN_LABELS)
        for kind in types:
            self._open.take("events", (kind, "accepted"))
        for route in (_TIMED, "/v1/events"):
            self.requests.labels(*self._open.take("requests", (route, "POST", "200")))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def answers_with(self, model: ModelIdentity) -> None:
        """Say which model is active."""
        self.model_info.clear()
        self.model_info.labels(model.name, model.version).set(1)

    def forget(self, model: ModelIdentity) -> None:
        """Drop the counts of a model that is no longer loaded, so that every night's model does not add some."""
        self.recommendations.remove_by_labels({"model": model.name})

    def requested(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; where routes and statuses are too many, only its status is told."""
        known = self._open.take("requests", (route, method, str(status)))
        self.requests.labels(*(known or (OTHER, OTHER, str(status)))).inc()
        self.request_seconds.labels(route if route == _TIMED else OTHER).observe(seconds)
        if route == _TIMED:
            self.recent.answered(seconds)

    def received(self, kind: str, result: str, count: int = 1) -> None:
        """Count events; where types are too many, those that come last are `other`."""
        known = self._open.take("events", (kind, result))
        self.events.labels(*(known or (OTHER, result))).inc(count)
        if result == "accepted":
            self.recent.received(count)

    # ------------------------------------------------------------------------------- what the engine tells (any thread)

    def batch(self, requests: int, tokens: int) -> None:
        """Count a batch of the model."""
        self.batch_requests.observe(requests)
        self.batch_tokens.observe(tokens)

    def ran(self, stage: str, seconds: float) -> None:
        """Count what a stage of the model took for a batch."""
        self.model_seconds.labels(stage).observe(seconds)

    def shadowed(self, result: str, overlap: float | None) -> None:
        """Count a list that the candidate computed beside an answer."""
        self.shadows.labels(result).inc()
        if overlap is not None:
            self.shadow_overlap.observe(overlap)

    def failed(self, error: BaseException) -> None:
        """Count nothing more: lists of simpler models are counted by their reason."""

    def committed(self, rows: int, seconds: float) -> None:
        """Count a transaction of the writer."""
        self.commit_rows.observe(rows)
        self.commit_seconds.observe(seconds)


class _Room:
    """Sets of labels that are told apart: the first ones, up to a number."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, set[tuple[str, tuple[str, ...]]]()
        self._lock = threading.Lock()

    def take(self, family: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the labels, or nothing where there is no room for them."""
        key = family, labels
        with self._lock:
            if key not in self._taken and len(self._taken) >= self._most:
                return ()
            self._taken.add(key)
        return labels

"""Prometheus metrics of one process: base units, counters that are counters, labels without ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from lexirec.serving.answering.snapshot import ModelIdentity

MEDIA_TYPE = CONTENT_TYPE_LATEST
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_TOKENS = (64, 256, 1024, 4096, 16_384, 65_536)


class Metrics:
    """All metrics of a service, in a registry of their own."""

    def __init__(self) -> None:
        """Make them."""
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lexirec_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lexirec_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"lexirec_{name}_seconds", text, labels, buckets=_FAST, registry=registry)

        def sizes(name: str, text: str, buckets: tuple[int, ...]) -> Histogram:
            return Histogram(f"lexirec_{name}", text, buckets=buckets, registry=registry)

        self.requests = counter("http_requests_total", "Requests answered.", "route", "method", "status")
        self.request_seconds = seconds("http_request", "Seconds from a request to its answer.", "route")
        self.queue_seconds = seconds("queue", "Seconds that a request waited for the model.")
        self.queue_length = gauge("queue_length", "Requests that wait for the model.")
        self.batch_requests = sizes("batch_requests", "Requests of a batch.", _SIZES)
        self.batch_tokens = sizes("batch_tokens", "Tokens of a batch.", _TOKENS)
        self.model_seconds = seconds("model", "Seconds that the model took for a batch.")
        self.recommendations = counter("recommendations_total", "Lists answered.", "model", "variant", "source")
        self.fallbacks = counter("fallbacks_total", "Lists that a simpler model answered.", "reason")
        self.short_lists = counter("short_lists_total", "Lists with fewer items than asked for.", "reason")
        self.invalid_items = counter("invalid_items_total", "Items in lists that were not legal; must stay 0.")
        self.inexact = counter("inexact_total", "Lists that are not provably those of an exhaustive search.")
        self.events = counter("events_total", "Events received.", "result")
        self.commit_seconds = seconds("commit", "Seconds of a transaction of the writer.")
        self.commit_rows = sizes("commit_rows", "Rows of a transaction of the writer.", (1, 8, 64, 256, 512, 1024))
        self.catalog_version = gauge("catalog_version", "Version of the catalogue that answers.")
        self.catalog_items = gauge("catalog_items", "Items of the catalogue.", "state")
        self.catalog_lag = gauge("catalog_lag_seconds", "Seconds that staged changes have waited for a version.")
        self.publishes = counter("publishes_total", "Versions of the catalogue that were to be made.", "result")
        self.swaps = counter("swaps_total", "Changes of what answers.", "kind", "result")
        self.model_info = gauge("model_info", "The model that answers: always 1.", "name", "version")
        self.shadows = counter("shadows_total", "Lists that the candidate computed beside the answer.", "result")
        self.shadow_overlap = Summary(
            "lexirec_shadow_overlap_ratio", "Share of a list that the candidate's holds, too.", registry=registry
        )
        self.impressions_dropped = counter("impressions_dropped_total", "Answers that could not be recorded.")
        self.mask_hits = counter("mask_cache_hits_total", "Compiled rules taken from the cache.")
        self.mask_misses = counter("mask_cache_misses_total", "Rules compiled.")

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

    # ------------------------------------------------------------------------------- what the engine tells (any thread)

    def batch(self, requests: int, tokens: int, seconds: float) -> None:
        """Count a batch of the model."""
        self.batch_requests.observe(requests)
        self.batch_tokens.observe(tokens)
        self.model_seconds.observe(seconds)

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

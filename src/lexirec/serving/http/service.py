"""The service: all its parts, how they start, and how they stop without losing an acknowledged event."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lexirec.serving.answering.answers import Answers, Reading
from lexirec.serving.answering.catalog_counts import items_by_state
from lexirec.serving.answering.compiling import RuleCompiler
from lexirec.serving.answering.engine import Engine
from lexirec.serving.answering.living import LivingSnapshots
from lexirec.serving.answering.loading import Loaded
from lexirec.serving.answering.models import Models
from lexirec.serving.answering.online_evaluation import OnlineEvaluation
from lexirec.serving.answering.past import NEWEST, PastReasons
from lexirec.serving.answering.remembering import ServedModels
from lexirec.serving.answering.shadow import Shadow
from lexirec.serving.answering.snapshot import Snapshot
from lexirec.serving.answering.snapshots import Snapshots
from lexirec.serving.answering.traffic import Split
from lexirec.serving.answering.warming import warm_up
from lexirec.serving.catalog_versions.staging import Staged
from lexirec.serving.database.errors import DatabaseError
from lexirec.serving.database.event_rules import EventRules, UserEvents
from lexirec.serving.database.events import EventsWritten
from lexirec.serving.database.opening import Database
from lexirec.serving.http.auth import Gate
from lexirec.serving.http.health import Health, beat_of
from lexirec.serving.http.jobs import Jobs
from lexirec.serving.http.logs import UserNames
from lexirec.serving.http.metrics import OTHER, Metrics
from lexirec.serving.http.recording import Recorder
from lexirec.serving.schemas.recommend import RankRequest, Recommendation, RecommendRequest
from lexirec.serving.schemas.service import CatalogAnswer
from lexirec.serving.settings import KEY_VARIABLE, ServeSettings, known_types
from lexirec.serving.upkeep.catalog_watch import CatalogWatch
from lexirec.serving.upkeep.housekeeping import Housekeeping
from lexirec.serving.upkeep.model_changes import load_others
from lexirec.serving.upkeep.publishing import Publisher

_log = logging.getLogger(__name__)
MOST_FULL = 0.9
"""Share of the queue from which on the service counts as not ready."""


class Service:
    """Everything behind the routes.

    Attributes:
        settings: of the service; `reloading` replaces some.
        reread: reads the settings again; None where they come from nowhere.
        database: of users and events.
        jobs: long work.
        models: that are loaded.
        served: the active models as the database remembers them; None where no models can be loaded.
        publisher: that makes versions of the catalogue.
        watch: that notices changes of the catalogue by other processes.
        snapshots: that answer.
        answers: to requests.
        past_reasons: of lists that were answered before.
        evaluation: of what was shown.
        housekeeping: that deletes what was kept long enough.
        gate: that checks keys.
        metrics: of the process.
        health: of the parts.
        user_names: of users in logs.
        draining: whether it stops.
        started: time of the start, `time.monotonic`.
    """

    def __init__(
        self, settings: ServeSettings, database: Database, first: Loaded, served: ServedModels | None = None
    ) -> None:
        """Combine the parts; `start` starts their threads.

        Args:
            settings: of the service.
            database: of users and events.
            first: model, the active one.
            served: the active models as the database remembers them; None where no models can be loaded.
        """
        self.jobs, self.served = Jobs(), served
        self.settings, self.database = settings, database
        self.metrics, self.health = Metrics(known_types(settings.events)), Health()
        self.user_names = UserNames(settings.logs.user_ids == "plain")
        self.draining, self.started = False, time.monotonic()
        self.reread: Callable[[], ServeSettings] | None = None
        self._warm = False
        events = settings.events
        self.rules = EventRules.of(events.read, events.seen, events.never)
        self.snapshots = Snapshots(first.begin(), split=Split(settings.traffic))
        self.compiler = RuleCompiler(settings.batching.mask_cache_bytes, self.metrics)
        self.recorder = Recorder(database, settings.impressions, self.metrics)
        self.engine = Engine(settings.batching, settings.limits.waiting, self.stored_events, self.rules, self.metrics)
        self.answers = Answers(
            self.snapshots,
            self.engine,
            self.compiler,
            Reading(self.stored_events, self.rules),
            fallback=settings.fallback == "full",
            observe=self._observe,
        )
        self.shadow = Shadow(self.snapshots, self.engine, self.compiler, self.metrics.shadowed)
        self.models = Models(
            first,
            self.snapshots,
            lambda made: warm_up(made, self.engine),
            remember=self._remember,
            forget=self.metrics.forget,
        )
        self.publisher = Publisher(lambda: self.living, self.jobs, self.metrics, lambda: self.settings.catalog)
        self.watch = CatalogWatch(self.models, self.publisher)
        self.past_reasons = PastReasons(self.snapshots, self.engine, self.compiler)
        self.evaluation = OnlineEvaluation(database, settings, lambda: len(self.snapshots.active.catalog))
        self.housekeeping = Housekeeping(database, settings)
        self.gate = Gate(database.keys, os.environ.get(KEY_VARIABLE), settings.limits.rate)
        self._watch()

    @property
    def living(self) -> LivingSnapshots | None:
        """The catalogue of the active model; None where it cannot change."""
        return self.models.living

    def stored_events(self, owners: Sequence[str]) -> Mapping[str, UserEvents]:
        """Return the stored events of users; of the older ones only what was seen."""
        return self.database.users.histories(owners, newest=NEWEST)

    def count_events(self, types: Sequence[str], written: EventsWritten | None, rejected: int) -> None:
        """Count what became of events; the types of rejected ones may be anything and are not told apart."""
        results = () if written is None else written.results
        counts = Counter((kind, result) for kind, result in zip(types, results) if result in ("accepted", "duplicate"))
        for (kind, result), count in counts.items():
            self.metrics.received(kind, result, count)
        if rejected:
            self.metrics.received(OTHER, "rejected", rejected)

    def metrics_text(self) -> bytes:
        """Return all metrics in Prometheus' text format; it reads files, so call it on a thread."""
        living = self.living
        staged = living.catalog.staged if living is not None else Staged()
        for state, count in items_by_state(self.snapshots.active, staged).items():
            self.metrics.catalog_items.labels(state).set(count)
        self.metrics.catalog_lag.set(self.publisher.lag)
        return self.metrics.text()

    def catalog_answer(self, snapshot: Snapshot) -> CatalogAnswer:
        """Return what is to be said about the catalogue of a snapshot."""
        items, publisher = len(snapshot.catalog), self.publisher
        staged = self.living.catalog.staged if self.living is not None else None
        return CatalogAnswer(
            version=snapshot.catalog_version,
            items=items,
            available=items if snapshot.available is None else int(snapshot.available.sum()),
            newer_than_model=0 if snapshot.newer is None else int(snapshot.newer.sum()),
            facts_revision=snapshot.facts_revision,
            staged=staged.size if staged is not None else 0,
            lag_seconds=round(publisher.lag, 1),
            last_problem=publisher.last_problem,
            next_publish_seconds=publisher.due_in(),
        )

    def start(self) -> None:
        """Start the threads, and answer requests of every size once so that the first user does not wait."""
        self.engine.start()
        self.housekeeping.start()
        began = time.monotonic()
        warm_up(self.snapshots.active, self.engine)
        self.models.start()
        self.watch.start()
        self.shadow.start()
        load_others(self)
        self._warm = True
        _log.info(
            "ready to answer with %s, warm after %.1f s", self.snapshots.active.model.name, time.monotonic() - began
        )

    def _remember(self, active: Loaded, previous: Loaded | None) -> None:
        if self.served is not None:
            self.served.remember(active, previous)
        self.metrics.answers_with(active.model)

    def _observe(
        self, body: RecommendRequest | RankRequest, answer: Recommendation, invalid: int, new: Sequence[int]
    ) -> None:
        self.recorder.observe(body, answer, invalid, new)
        self.shadow.offer(body, answer)

    def drain(self) -> None:
        """Say that the service is not ready any more; it still answers."""
        self.draining = True

    def stop(self) -> None:
        """Answer what waits, write what is queued, close the database."""
        seconds = self.settings.stopping.finish_seconds
        self.watch.stop()
        self.jobs.close()
        self.shadow.stop()
        self.housekeeping.stop()
        self.engine.stop(seconds)
        self.answers.close()
        self.evaluation.close()
        if not self.database.close(seconds):
            _log.error("the database did not take everything within %.0f s; nothing acknowledged is lost", seconds)

    def _watch(self) -> None:
        engine, writer, metrics, health = self.engine, self.database.writer, self.metrics, self.health
        metrics.queue_length.set_function(lambda: float(engine.waiting))
        metrics.catalog_version.set_function(lambda: float(self.snapshots.active.catalog_version))
        self.database.impressions.on_drop = metrics.impressions_dropped.inc
        writer.on_commit = lambda seconds, rows: metrics.committed(rows, seconds)
        health.live["engine"] = beat_of(self._silence, "the engine")
        health.live["writer"] = beat_of(writer.seconds_since_beat, "the writer")
        health.ready["model"] = lambda: None if self._warm else "is not warm yet"
        health.ready["queue"] = self._queue_problem
        health.ready["database"] = self._database_problem
        health.ready["draining"] = lambda: "the service is stopping" if self.draining else None
        health.degraded["writes"] = lambda: str(writer.problem) if writer.problem else None
        health.degraded["catalog"] = self._catalog_problem

    def _silence(self) -> float:
        """Return the seconds since the engine moved; one that works on a batch for long counts, too."""
        return time.monotonic() - self.engine.beat if self._warm else 0.0

    def _catalog_problem(self) -> str | None:
        living = self.living  # of the model that is active now
        return living.catalog.write_problem() if living is not None else None

    def _database_problem(self) -> str | None:
        try:
            self.database.check()
        except DatabaseError as error:
            return str(error)
        return None

    def _queue_problem(self) -> str | None:
        waiting, limit = self.engine.waiting, self.settings.limits.waiting
        return f"{waiting} of {limit} requests wait" if waiting >= MOST_FULL * limit and waiting > 1 else None

"""Jobs: long work on a thread of its own, one after the other; what became of it can be asked for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lexirec.core.errors import LexirecError
from lexirec.serving.answering.answers import new_id
from lexirec.serving.http.errors import store_problem
from lexirec.serving.problems import ProblemError, for_clients
from lexirec.serving.schemas.catalog import JobAnswer

_log = logging.getLogger(__name__)
KEPT = 100
_FAILED = "the service failed; the log has the cause"


@dataclass
class _Job:
    job_id: str
    kind: str
    started: float
    ended: float | None = None
    result: dict[str, Any] | None = None
    problem: str | None = None

    def answer(self) -> JobAnswer:
        state = "running" if self.ended is None else "failed" if self.problem else "done"
        seconds = round((self.ended or time.monotonic()) - self.started, 3)
        return JobAnswer.model_validate(
            {"job_id": self.job_id, "kind": self.kind, "state": state, "seconds": seconds}
            | {"result": self.result, "problem": self.problem}
        )


class Jobs:
    """The jobs of a service."""

    def __init__(self) -> None:
        """Begin without any."""
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lexirec-job")

    def start(self, kind: str, work: Callable[[], dict[str, Any]]) -> JobAnswer:
        """Start work; return the job."""
        job = _Job(new_id(), kind, time.monotonic())
        with self._lock:
            self._jobs[job.job_id] = job
            while len(self._jobs) > KEPT:
                self._jobs.popitem(last=False)
        self._worker.submit(self._run, job, work)
        return job.answer()

    def get(self, job_id: str) -> JobAnswer:
        """Return a job.

        Raises:
            ProblemError: there is none, or it is too old.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise ProblemError("not-found", f"there is no job '{job_id[:64]}'; the last {KEPT} are kept")
        return job.answer()

    def close(self) -> None:
        """Wait for the job that runs; drop those that wait."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: _Job, work: Callable[[], dict[str, Any]]) -> None:
        try:
            job.result = work()
        except LexirecError as error:
            job.problem = for_clients(error)
        except OSError as error:
            _log.error("the job '%s' failed", job.kind, exc_info=error)
            problem = store_problem(error)
            job.problem = problem.detail if problem is not None else _FAILED
        except Exception as error:
            _log.error("the job '%s' failed", job.kind, exc_info=error)
            job.problem = _FAILED
        job.ended = time.monotonic()

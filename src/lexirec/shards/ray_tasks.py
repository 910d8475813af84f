"""Workers that are actors of a Ray cluster; Ray is imported here alone, when such workers are asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from lexirec.core.errors import SettingsError
from lexirec.shards.making import THREADS, Job, attempt, on_one_thread, one_line
from lexirec.shards.scheduling import Message


class RayWorkers:
    """Actors, one CPU and one state each. The folder of the parts must be the same on all nodes.

    An actor that is lost with its node is replaced on any node with a free CPU; where there is none at the moment, the
    new one waits for it while the others go on.
    """

    def __init__(self, job: Job) -> None:
        """Let actors do a job; connect to the cluster that `RAY_ADDRESS` names, where the process is not connected.

        Raises:
            SettingsError: Ray is not installed.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise SettingsError("executor 'ray' needs the package ray: pip install 'lexirec[ray]'") from None
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        self._ray, self._job = ray, job
        remote: Any = ray.remote
        surroundings = {"env_vars": dict.fromkeys(THREADS, "1")}
        self._actor = remote(num_cpus=1, max_restarts=0, max_task_retries=0, runtime_env=surroundings)(_Actor)
        self._workers: dict[int, tuple[Any, Any]] = {}

    def start(self, worker: int) -> None:
        """Start an actor in place of an earlier one of this number."""
        actor = self._actor.remote(self._job)
        self._workers[worker] = actor, actor.setup.remote()

    def give(self, worker: int, shard: int) -> None:
        """Let an actor make a part."""
        actor, _ = self._workers[worker]
        self._workers[worker] = actor, actor.make.remote(shard)

    def wait(self) -> Sequence[tuple[int, Message]]:
        """Wait until an actor answers or is lost."""
        answers = {answer: worker for worker, (_, answer) in self._workers.items() if answer is not None}
        ready, _ = self._ray.wait(list(answers), num_returns=1)
        heard = []
        for answer in ready:
            worker = answers[answer]
            self._workers[worker] = self._workers[worker][0], None
            heard.append((worker, self._answer(answer)))
        return heard

    def _answer(self, answer: Any) -> Message:
        try:
            kind, text = self._ray.get(answer)
            return Message(kind, text)
        except self._ray.exceptions.RayError as error:
            return Message("lost", type(error).__name__)

    def stop(self) -> None:
        """End the actors; the connection to the cluster stays."""
        for actor, _ in self._workers.values():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)
        self._workers.clear()


class _Actor:
    """A worker on a node."""

    def __init__(self, job: Job) -> None:
        self._job, self._state = job, None

    def setup(self) -> tuple[str, ...]:
        """Load the state; return a message."""
        try:
            self._state = self._job.task.setup()
        except Exception as error:
            return tuple(Message("broken", one_line(error)))
        return tuple(Message("ready"))

    def make(self, shard: int) -> tuple[str, ...]:
        """Make a part; return a message."""
        with on_one_thread():
            return tuple(attempt(self._job, shard, self._state))

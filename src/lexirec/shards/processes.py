"""Workers that are processes of this machine, spawned by `multiprocessing`: one state and one thread each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from lexirec.shards.making import THREADS, Job, attempt, on_one_thread, one_line
from lexirec.shards.scheduling import Message

_DEVICES = "CUDA_VISIBLE_DEVICES"


class ProcessWorkers:
    """Spawned processes, each with a pipe: numbers of shards go there, messages come back.

    A process ends when its pipe does, so none outlives a parent that was killed by more than the part it is making.
    """

    def __init__(self, job: Job) -> None:
        """Let processes do a job."""
        self._job, self._context = job, multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}

    def start(self, worker: int) -> None:
        """Start a process in place of an earlier one of this number."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(self._job, theirs), daemon=True, name=f"lexirec-{worker}")
        with _surroundings(worker):
            process.start()
        theirs.close()  # so that the pipe ends with the process
        self._workers[worker] = process, ours

    def give(self, worker: int, shard: int) -> None:
        """Send the number of a shard; that the process is gone shows when it is waited for."""
        with contextlib.suppress(OSError):
            self._workers[worker][1].send(shard)

    def wait(self) -> Sequence[tuple[int, Message]]:
        """Wait for messages and ends."""
        number = {id(connection): worker for worker, (_, connection) in self._workers.items()}
        heard = []
        for connection in wait([connection for _, connection in self._workers.values()]):
            worker = number[id(connection)]
            heard.append((worker, self._hear(worker)))
        return heard

    def _hear(self, worker: int) -> Message:
        process, connection = self._workers[worker]
        try:
            message: Message = connection.recv()
        except (EOFError, OSError):
            process.join(5)
            connection.close()
            del self._workers[worker]
            return Message("lost", _end(process.exitcode))
        return message

    def stop(self) -> None:
        """Let processes end: those that wait at once, those that make a part by a signal."""
        for process, connection in self._workers.values():
            connection.close()
            process.terminate()
        for process, _ in self._workers.values():
            process.join(10)
        self._workers.clear()


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"signal {-code}"
    return "it ended" if code is None else f"it ended with status {code}"


@contextmanager
def _surroundings(worker: int) -> Iterator[None]:
    """Give processes started inside one thread, and one of the visible GPUs in turn where several are listed."""
    devices = [device for device in os.environ.get(_DEVICES, "").split(",") if device.strip()]
    values = dict.fromkeys(THREADS, "1")
    if len(devices) > 1:
        values[_DEVICES] = devices[worker % len(devices)]
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def work(job: Job, connection: Connection) -> None:
    """Load the state, then make the parts whose numbers come, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption reaches the parent, which ends its workers
    try:
        try:
            state = job.task.setup()
        except Exception as error:
            connection.send(Message("broken", one_line(error)))
            return
        connection.send(Message("ready"))
        with on_one_thread():
            while True:
                connection.send(attempt(job, connection.recv(), state))
    except (EOFError, OSError):  # the parent is gone
        return

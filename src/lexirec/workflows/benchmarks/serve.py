"""Benchmark of the service: HTTP on loopback against one request at a time in Python, and against `generate`.

Three paths answer the same histories with the same saved model, each in a process of its own:

- the service, under a closed loop (throughput) and under an open loop at half of that rate (latency);
- `recommender.recommend`, one request after the other;
- transformers' `generate` with a prefix function behind the plainest FastAPI route, for GRAM with a text user prompt
  or not: it encodes the prompts of the request's items and searches with as many beams (the published code's way).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.errors import ArtifactError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.models.loading import load_named
from lexirec.workflows.benchmarks.http_load import Load, closed_loop, open_loop
from lexirec.workflows.benchmarks.measure import apart

K = 10
CONNECTIONS = 64
_LONGEST = 12
_ALONE = 200
_BATCH = 32
_BY_GENERATE = 12
_PATH = "/v1/recommend"
_TIE = 1e-5
Scored = list[tuple[str, float]]
"""Item ids with scores, best first."""


def bench_serve(name: str, store: Path, requests: int = 3000, seed: int = 0) -> dict[str, Any]:
    """Measure a service of a finished experiment.

    Args:
        name: of the experiment, or the folder of a saved recommender.
        store: that holds it.
        requests: of the closed loop; the open loop sends half as many.
        seed: of histories and times.

    Returns:
        `throughput_ratio` (closed loop against one at a time), `p99_ratio` (open loop at half the rate, against the
        median of one at a time), `quarter_p99_ratio` (at a quarter), `failed`, `identical` (lists equal those of one at
        a time, but for the order of equal scores), requests a second, `batches_per_second` (the model alone in full
        batches, without HTTP: the floor), percentiles in milliseconds, seconds from start to ready (the first start
        compiles Python's files), resident memory; with GRAM also `generate_ratio`.

    Raises:
        ArtifactError: there is no such experiment, or the service does not start.
    """
    recommender = load_named(Store(store), name)
    histories = _histories(recommender, requests, seed)
    bodies = [json.dumps({"history": history, "k": K}).encode() for history in histories]
    with apart(_Alone, name, store) as alone:
        alone.ask("answer", histories[:20])
        before = alone.ask("answer", histories[:_ALONE]).value
        with _service(name, store) as (url, first, process):
            closed_loop(url, _PATH, bodies[:500], CONNECTIONS)
            closed = closed_loop(url, _PATH, bodies, CONNECTIONS)
            opened = [open_loop(url, _PATH, bodies[: requests // 2], closed.per_second / part, seed) for part in (2, 4)]
            memory = _resident(process.pid)
        after = alone.ask("answer", histories[:_ALONE]).value
        floor = alone.ask("batches_per_second", histories).value
    with _service(name, store) as (_, ready, _process_of_it):
        pass
    lists, seconds = before[0], np.array([*before[1], *after[1]])
    figures = _figures(closed, opened, seconds, lists)
    figures |= {"batches_per_second": floor, "seconds_to_ready": ready, "seconds_to_ready_first": first}
    figures |= {"resident_mebibytes": memory, "items": len(recommender.catalog)}
    return figures | _by_generate(recommender, name, store, histories, closed)


def _figures(closed: Load, opened: list[Load], seconds: Any, lists: list[Scored]) -> dict[str, Any]:
    single = float(np.median(seconds))
    half, quarter = opened
    answered = [
        [(item["item_id"], item["score"]) for item in json.loads(closed.bodies[number])["items"]]
        if number in closed.bodies
        else []
        for number in range(len(lists))
    ]
    return {
        "throughput_ratio": closed.per_second * float(seconds.mean()),
        "p99_ratio": half.percentile(99) / single,
        "quarter_p99_ratio": quarter.percentile(99) / single,
        "failed": sum(len(each.failures) for each in (closed, *opened)),
        "identical": all(map(_same, answered, lists)),
        "requests_per_second": closed.per_second,
        "one_at_a_time_per_second": 1 / float(seconds.mean()),
        "one_at_a_time_p50_ms": 1000 * single,
        "one_at_a_time_p99_ms": 1000 * float(np.percentile(seconds, 99)),
        "closed_p50_ms": 1000 * closed.percentile(50),
        "closed_p99_ms": 1000 * closed.percentile(99),
        "half_load_p50_ms": 1000 * half.percentile(50),
        "half_load_p99_ms": 1000 * half.percentile(99),
        "quarter_load_p50_ms": 1000 * quarter.percentile(50),
        "quarter_load_p99_ms": 1000 * quarter.percentile(99),
        "connections": CONNECTIONS,
    }


def _same(left: Scored, right: Scored) -> bool:
    """Say whether two lists are equal; items whose scores are equal but for rounding may stand in either order."""
    return len(left) == len(right) and all(
        abs(mine[1] - theirs[1]) <= _TIE and (mine[0] == theirs[0] or _is_tied(left, place))
        for place, (mine, theirs) in enumerate(zip(left, right, strict=True))
    )


def _is_tied(scored: Scored, place: int) -> bool:
    """Say whether another place has the same score; beyond the last one there may be another."""
    near = scored[max(0, place - 1) : place + 2]
    return place == len(scored) - 1 or sum(abs(score - scored[place][1]) <= _TIE for _, score in near) > 1


def _histories(recommender: Recommender, requests: int, seed: int) -> list[list[str]]:
    """Return random histories of one to twelve items."""
    chance, ids = np.random.default_rng(seed), recommender.catalog.item_ids
    lengths = chance.integers(1, _LONGEST + 1, requests)
    return [[ids[number] for number in chance.choice(len(ids), length, replace=False)] for length in lengths]


class _Alone:
    """The Python API, one request after the other."""

    def __init__(self, name: str, store: Path) -> None:
        self._recommender: Any = load_named(Store(store), name)

    def answer(self, histories: list[list[str]]) -> tuple[list[Scored], list[float]]:
        """Return the lists, and the seconds of each."""
        lists, seconds = [], []
        for history in histories:
            started = time.perf_counter()
            found = self._recommender.recommend(history, k=K)
            seconds.append(time.perf_counter() - started)
            lists.append([(each.item_id, each.score) for each in found])
        return lists, seconds

    def batches_per_second(self, histories: list[list[str]]) -> float:
        """Return how many lists a second the model makes in full batches."""
        numbers = [self._recommender.catalog.numbers(history).tolist() for history in histories]
        batches = [Sequences.from_lists(numbers[row : row + _BATCH]) for row in range(0, len(numbers), _BATCH)]
        with quiet():
            started = time.perf_counter()
            for batch in batches:
                self._recommender.rank(batch, k=K, exclude_seen=True)
            return len(histories) / (time.perf_counter() - started)


def _by_generate(
    recommender: Recommender, name: str, store: Path, histories: list[list[str]], closed: Load
) -> dict[str, Any]:
    """Return the figures of `generate` behind FastAPI, where the model is one that it can run."""
    from lexirec.models.gram.recommender import GramRecommender

    if not isinstance(recommender, GramRecommender):
        return {}
    bodies = [json.dumps({"history": history, "k": K}).encode() for history in histories[:_BY_GENERATE]]
    module = "lexirec.workflows.benchmarks.generate_route"
    with _process([sys.executable, "-m", module, name, str(store)], "listening on ") as (url, _, _process_of_it):
        closed_loop(url, "/recommend", bodies[:2], 1)
        theirs = closed_loop(url, "/recommend", bodies, 1)
    return {
        "generate_ratio": closed.per_second / theirs.per_second,
        "generate_per_second": theirs.per_second,
        "generate_p50_ms": 1000 * theirs.percentile(50),
        "generate_failed": len(theirs.failures),
    }


# ---------------------------------------------------------------------------------------------------------- processes


@contextmanager
def _service(name: str, store: Path) -> Iterator[tuple[str, float, subprocess.Popen[str]]]:
    """Start the service on a free port, over a new database and without lines of requests; yield when it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--store", str(store), "--port", "0", "--set", "logs.requests=false"]
        options += ["--set", f'storage.url="sqlite:///{folder}/bench.db"', "--set", "stopping.drain_delay=0"]
        with _process([sys.executable, "-m", "lexirec.cli", "serve", name, *options], "listening on ") as started:
            yield started


@contextmanager
def _process(command: list[str], sign: str) -> Iterator[tuple[str, float, subprocess.Popen[str]]]:
    """Start a server; yield its address, the seconds until it listened, and the process."""
    started = time.monotonic()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["OMP_NUM_THREADS"] = "1"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if sign in line:
                address = line.partition(sign)[2].strip().split('"')[0]
                yield address, time.monotonic() - started, process
                return
        raise ArtifactError(f"{' '.join(command)} did not start: {''.join(lines[-3:])}")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def _resident(process: int) -> float | None:
    """Return the resident memory of a process in MiB; None where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

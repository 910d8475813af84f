"""Benchmark of GRAM decoding: beam search over cached item encodings against stock `generate` with a prefix function.

Both paths run in processes of their own, so that their memory is measured separately, and take turns, so that both run
under the same load.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from lexirec.core.environment import PeakMemory
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.core.progress import Progress
from lexirec.decoding.beam import beam_search
from lexirec.models.gram.step_decoder import GramStepDecoder, ItemStates
from lexirec.nn.cpu_kernels import PackedLinears
from lexirec.nn.t5 import SIZES
from lexirec.nn.vocabulary_head import for_searching
from lexirec.workflows.benchmarks import reference as stock
from lexirec.workflows.benchmarks.causal_decode import bench_causal_decode
from lexirec.workflows.benchmarks.fixtures import LEVELS, Sizes, make_world
from lexirec.workflows.benchmarks.measure import least_time, timings

FAMILIES = ("late-fusion", "causal")
TOLERANCE = 1e-4
"""Largest difference of scores between equal lists."""


class Answer(NamedTuple):
    """The best items of one user with scores, seconds, and the peak growth of memory so far (MiB)."""

    items: list[int]
    scores: list[float]
    seconds: float
    growth: float


class _Path(Protocol):
    """One of the two implementations, in a process of its own."""

    encoding_seconds: float

    def rank(self, history: list[int], width: int) -> tuple[list[int], list[float]]:
        """Return the best items of a history (oldest first) and their scores."""
        ...


def bench_decode(
    family: str = "late-fusion", users: int = 2, repeats: int = 5, sizes: Sizes | None = None, seed: int = 0
) -> dict[str, Any]:
    """Rank the whole catalogue for some users, one at a time, by our beam search and by `generate`.

    The reference encodes all prompts of the user and calls transformers' `generate` with `prefix_allowed_tokens_fn`
    over a dictionary trie (GRAM, spec sections 9 and 11). Ours reads item encodings computed in advance,
    once per catalogue, encodes the user prompt, and searches; both give length-normalised scores.

    Args:
        family: family of recommenders; for `causal` see `causal_decode`.
        users: number of users, each with a full history of distinct items.
        repeats: timings of ours per user; the reference is timed once.
        sizes: sizes of model and catalogue; by default T5-small on Beauty. Causal models have sizes of their own.
        seed: seed of weights, identifiers and histories.

    Returns:
        `speedup` (medians; item encodings cached), `speedup_with_encoding` (ours encodes the history's items, too),
        `memory_ratio` (peak growth of resident memory, ours / reference, after model and encodings were loaded),
        `identical` (same items in the same order, scores within 1e-4), seconds with their spread, and the lower bound
        `floor_seconds`.

    Raises:
        SettingsError: the family is unknown.
    """
    if family not in FAMILIES:
        raise SettingsError(
            f"bench decode: family '{family}' is unknown; use {', '.join(FAMILIES)}.{did_you_mean(family, FAMILIES)}"
        )
    if family == "causal":
        return bench_causal_decode(users, repeats, seed=seed)
    sizes = sizes or Sizes()
    pool = users * sizes.history
    histories = np.random.default_rng([seed, 2]).permutation(pool).reshape(users, sizes.history).tolist()
    theirs: list[Answer] = []
    ours: list[list[Answer]] = []
    with (
        _process("reference", sizes, seed, pool) as reference,
        _process("beams", sizes, seed, pool) as beams,
        Progress("Decoding", total=users * (repeats + 1)) as progress,
    ):
        encoding = [process.submit(_warm_up, sizes.width).result() for process in (reference, beams)][1]
        for history in histories:
            theirs.append(reference.submit(_answer, history, sizes.width).result())
            progress.advance()
            ours.append([])
            for _ in range(repeats):
                ours[-1].append(beams.submit(_answer, history, sizes.width).result())
                progress.advance()
    return _figures(sizes, theirs, ours, encoding)


def _figures(sizes: Sizes, theirs: list[Answer], ours: list[list[Answer]], encoding: float) -> dict[str, Any]:
    fast = [answer.seconds for answers in ours for answer in answers]
    slow = [answer.seconds for answer in theirs]
    growth, reference_growth = ours[-1][-1].growth, theirs[-1].growth
    return {
        "speedup": median(slow) / median(fast),
        "speedup_with_encoding": median(slow) / (median(fast) + sizes.history * encoding),
        "memory_ratio": growth / reference_growth,
        "identical": all(_same(one, answer) for one, answers in zip(theirs, ours) for answer in answers),
        "score_difference": max(
            float(np.abs(np.subtract(one.scores, answer.scores)).max())
            for one, answers in zip(theirs, ours)
            for answer in answers
        ),
        **timings("", fast),
        **timings("reference_", slow),
        "encoding_seconds_per_item": encoding,
        "growth_mebibytes": growth,
        "reference_growth_mebibytes": reference_growth,
        "users": len(theirs),
        "items": sizes.items,
        "prompts": sizes.history + 1,
        "prompt_tokens": sizes.prompt,
        "width": sizes.width,
        "threads": torch.get_num_threads(),
        **least_time(*_least_work(sizes)),
    }


def _same(one: Answer, other: Answer) -> bool:
    close = np.allclose(one.scores, other.scores, rtol=0, atol=TOLERANCE)
    return one.items == other.items and close


def _least_work(sizes: Sizes) -> tuple[float, float]:
    """Return the least operations and bytes of ours: user prompt, keys and values, decoding steps of the beams."""
    size = SIZES[sizes.backbone.removeprefix("scratch:")]
    width, layers, inner = size["d_model"], size["layers"], size["feed_forward"]
    tokens = (sizes.history + 1) * sizes.prompt
    encoder = sizes.prompt * layers * (8 * width**2 + 4 * width * inner + 4 * sizes.prompt * width)
    keys = tokens * layers * 4 * width**2
    row = layers * (12 * width**2 + 4 * width * inner + 4 * tokens * width) + 2 * width * sizes.vocabulary
    weights = layers * (6 * width**2 + 2 * width * inner) + width * sizes.vocabulary
    operations = encoder + keys + (1 + LEVELS * sizes.width) * row
    return operations, 4.0 * (1 + LEVELS) * (weights + 2 * layers * tokens * width)


# ------------------------------------------------------------------------------------- inside a process of its own

_path: _Path | None = None
_memory: PeakMemory | None = None


@contextmanager
def _process(name: str, sizes: Sizes, seed: int, pool: int) -> Iterator[ProcessPoolExecutor]:
    """Start a process with one of the paths; its first task waits for the set-up."""
    arguments = (name, sizes, seed, pool, torch.get_num_threads())
    with ProcessPoolExecutor(1, get_context("spawn"), _set_up, arguments) as executor:
        yield executor


def _set_up(name: str, sizes: Sizes, seed: int, pool: int, threads: int) -> None:
    global _path, _memory
    torch.set_num_threads(threads)
    _path = _Reference(sizes, seed) if name == "reference" else _Beams(sizes, seed, pool)
    _memory = PeakMemory()


def _warm_up(width: int) -> float:
    """Rank once for a short history; return the seconds per encoded item (0 if none were encoded)."""
    assert _path is not None
    _path.rank([0], min(width, 2))
    return _path.encoding_seconds


def _answer(history: list[int], width: int) -> Answer:
    assert _path is not None
    assert _memory is not None
    begin = time.perf_counter()
    items, scores = _path.rank(history, width)
    seconds = time.perf_counter() - begin
    return Answer(items, scores, seconds, _memory.growth)


class _Reference:
    """Stock transformers: all prompts encoded per user, `generate` with a prefix function."""

    encoding_seconds = 0.0

    def __init__(self, sizes: Sizes, seed: int) -> None:
        self._world = make_world(sizes, seed)
        self._trie = stock.nest(self._world.tokens)
        rows = self._world.tokens.tolist()
        self._item = {tuple(token for token in row if token >= 0): item for item, row in enumerate(rows)}

    def rank(self, history: list[int], width: int) -> tuple[list[int], list[float]]:
        """Return the best items of a history and their scores."""
        newest_first_BH = torch.tensor([history[::-1]])
        tokens, scores = stock.generate(self._world, self._trie, newest_first_BH, width)
        # start (0), end (1) and padding (0) are not part of an identifier
        return [self._item[tuple(token for token in row if token > 1)] for row in tokens.tolist()], scores.tolist()


class _Beams:
    """Our beam search over cached item encodings."""

    def __init__(self, sizes: Sizes, seed: int, pool: int) -> None:
        self._model = make_world(sizes, seed).model
        backbone = self._model.backbone
        self._weights = PackedLinears(backbone.encoder, backbone.decoder)  # as `GramSearcher` does
        begin = time.perf_counter()
        with torch.inference_mode(), self._weights.in_use():
            parts = [self._model.encode_items(torch.tensor([item])) for item in range(pool)]
            self._rows = for_searching(self._model.head.rows())
        self.encoding_seconds = (time.perf_counter() - begin) / pool
        self._cache = ItemStates(*(torch.cat(part) for part in zip(*parts)))

    @torch.inference_mode()
    def rank(self, history: list[int], width: int) -> tuple[list[int], list[float]]:
        """Return the best items of a history and their scores."""
        with self._weights.in_use():
            steps = GramStepDecoder(self._model, torch.tensor([history]), rows=self._rows, cache=self._cache)
            result = beam_search(self._model.trie, steps, width=width, k=width, length_penalty=1.0)
        return result.items[0].tolist(), result.scores[0].tolist()

"""Benchmark of the flat trie against nested dictionaries, the usual constraint of `generate`.

Shapes: `B` batch, `W` width, `C` children, `M` candidates, `V` vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.decoding.trie import Trie

BATCH, WIDTH, VOCABULARY, LEVELS = 4, 50, 32_128, 8  # GRAM's beams and identifiers, T5's vocabulary

Nested = dict[int, Any]
T = TypeVar("T")


def bench_trie(items: int = 100_000, repeats: int = 3, seed: int = 0) -> dict[str, float | int | bool]:
    """Time building the trie and a beam search over it: legal children, their scores, and the best of them per step.

    The dictionary path does what GRAM's and GENRE's decoders do: it copies each beam's prefix to the host, walks the
    nested dictionaries and masks the whole vocabulary. Both searches use the same random scores and must keep the same
    beams. Times are medians in seconds after a warm-up.

    Returns:
        items, nodes, `build_seconds`, `dict_build_seconds`, `build_speedup`, `walk_seconds`, `dict_walk_seconds`,
        `speedup` (of the walk) and `identical`.
    """
    tokens = _random_identifiers(items, np.random.default_rng(seed))
    scores_SBV = torch.randn((LEVELS, BATCH, VOCABULARY), generator=torch.Generator().manual_seed(seed))
    trie, build = _timed(lambda: Trie.build(tokens), repeats)
    nested, dict_build = _timed(lambda: _nested(tokens), repeats)
    ours, walk = _timed(lambda: _walk(trie, scores_SBV), repeats)
    theirs, dict_walk = _timed(lambda: _walk_nested(nested, scores_SBV), repeats)
    return {
        "items": trie.n_items,
        "nodes": trie.n_nodes,
        "build_seconds": build,
        "dict_build_seconds": dict_build,
        "build_speedup": dict_build / build,
        "walk_seconds": walk,
        "dict_walk_seconds": dict_walk,
        "speedup": dict_walk / walk,
        "identical": torch.equal(ours, theirs),
    }


def _timed(work: Callable[[], T], repeats: int) -> tuple[T, float]:
    """Return the result of `work` and its median time, without the first run."""
    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return result, median(seconds[1:])


def _random_identifiers(items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct identifiers of equal length: 64 first tokens, then up to 256 children per node."""
    tokens = rng.integers(0, 256, size=(items, LEVELS))
    tokens[:, 0] %= 64
    return np.unique(tokens, axis=0)


def _nested(tokens: NDArray[np.int64]) -> Nested:
    root: Nested = {}
    for row in tokens.tolist():
        node = root
        for token in row:
            node = node.setdefault(token, {})
    return root


def _walk(trie: Trie, scores_SBV: Tensor) -> Tensor:
    """Return the tokens of the best beams by the flat trie, (B, W, levels)."""
    nodes_BW = torch.zeros((BATCH, 1), dtype=torch.int64)
    sums_BW = torch.zeros((BATCH, 1))
    for depth, scores_BV in enumerate(scores_SBV):
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        nodes_BM = children_BWC.flatten(1).clamp(min=1)
        entering_BWC = scores_BV.gather(1, trie.token[nodes_BM]).view(children_BWC.shape)
        total_BWC = (sums_BW.unsqueeze(-1) + entering_BWC).masked_fill(children_BWC < 0, -torch.inf)
        sums_BW, best_BW = total_BWC.flatten(1).topk(min(WIDTH, nodes_BM.shape[1]))
        nodes_BW = nodes_BM.gather(1, best_BW)
    path = [nodes_BW]
    for _ in range(LEVELS - 1):
        path.append(trie.parent[path[-1]])
    return trie.token[torch.stack(path[::-1], dim=-1)]


def _walk_nested(root: Nested, scores_SBV: Tensor) -> Tensor:
    """Return the same beams by nested dictionaries and a vocabulary mask per beam and step."""
    prefixes_BWL = torch.zeros((BATCH, 1, 0), dtype=torch.int64)
    sums_BW = torch.zeros((BATCH, 1))
    for scores_BV in scores_SBV:
        mask_BWV = torch.full((*sums_BW.shape, VOCABULARY), -torch.inf)
        for row, beams in enumerate(prefixes_BWL):
            for beam, prefix in enumerate(beams):
                node = root
                for token in prefix.tolist():
                    node = node[token]
                mask_BWV[row, beam, list(node)] = 0
        total_BWV = sums_BW.unsqueeze(-1) + scores_BV.unsqueeze(1) + mask_BWV
        sums_BW, best_BW = total_BWV.flatten(1).topk(WIDTH)
        before_BWL = prefixes_BWL.gather(
            1, (best_BW // VOCABULARY).unsqueeze(-1).expand(-1, -1, prefixes_BWL.shape[-1])
        )
        prefixes_BWL = torch.cat([before_BWL, (best_BW % VOCABULARY).unsqueeze(-1)], dim=-1)
    return prefixes_BWL

"""Exact scores of all items: the decoder of beam search run over the whole trie, without pruning.

It is the oracle of the search's tests, and replaces the search where a catalogue is small and children are cheap.

Shapes: `B` batch, `W` nodes with children at one depth, `C` children, `N` nodes, `I` items, `K` results.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lexirec.decoding.beam import Beams, StepDecoder
from lexirec.decoding.ties import top_scores
from lexirec.decoding.trie import Trie


@torch.no_grad()
def exact_scores(
    trie: Trie, decoder: StepDecoder, *, length_penalty: float | None = None, bias_BN: Tensor | None = None
) -> Tensor:
    """Return the score of every item (B, I): a beam search as wide as the trie, which prunes nothing.

    Args:
        trie: of all items, on the decoder's device.
        decoder: scores children; its beams are all inner nodes of one depth.
        length_penalty: divide by (number of tokens, end included) ** length_penalty; None for plain sums.
        bias_BN: (B or 1, N) a number per node, added along the path.
    """
    nodes_W = torch.zeros(1, dtype=torch.int64, device=trie.device)
    step_BWC = decoder.start()
    scores_BN = step_BWC.new_zeros(
        (len(step_BWC), trie.n_nodes), dtype=torch.promote_types(step_BWC.dtype, torch.float)
    )
    for depth in range(trie.longest):
        if depth:
            parents_W, nodes_W = _next_level(trie, nodes_W, depth)
            beams = (len(scores_BN), -1)
            step_BWC = decoder.advance(parents_W.expand(beams), nodes_W.expand(beams), depth)
        children_WC = trie.children(nodes_W, step_BWC.shape[-1])
        # breadth-first order: the children of one level are exactly the next level, in order, so a slice takes them
        low, high = trie.level_offsets[depth + 1], trie.level_offsets[depth + 2]
        above_BC = scores_BN[:, trie.parent[low:high]]
        scores_BN[:, low:high] = above_BC + step_BWC[:, children_WC >= 0]
    if bias_BN is not None:
        scores_BN = scores_BN + _summed_down(trie, bias_BN)
    scores_BI = scores_BN[:, trie.item_node]
    return scores_BI if length_penalty is None else scores_BI / trie.depth[trie.item_node] ** length_penalty


def top_items(scores_BI: Tensor, k: int) -> Beams:
    """Return the `k` best items of each row of scores as a search would; a score of −inf excludes an item.

    Equal scores go to the smaller item number.
    """
    numbers_1I = torch.arange(scores_BI.shape[1], device=scores_BI.device).unsqueeze(0)
    scores, items = top_scores(scores_BI, numbers_1I, min(k, scores_BI.shape[1]))
    missing = (0, k - scores.shape[1])
    scores = torch.nn.functional.pad(scores, missing, value=-torch.inf)
    items = torch.nn.functional.pad(items, missing, value=-1)
    exact = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    return Beams(items.masked_fill(scores == -torch.inf, -1), scores, exact)


def _next_level(trie: Trie, above_W: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Return the inner nodes of a depth and, before them, the index in `above_W` of each one's parent."""
    level = torch.arange(trie.level_offsets[depth], trie.level_offsets[depth + 1], device=trie.device)
    nodes_W = level[trie.node_item[level] < 0]
    return torch.searchsorted(above_W, trie.parent[nodes_W]), nodes_W


def _summed_down(trie: Trie, bias_BN: Tensor) -> Tensor:
    """Return (B or 1, N) the sum of `bias_BN` over the nodes from depth 1 down to each node."""
    sums_BN = bias_BN.clone()
    sums_BN[:, 0] = 0
    for depth in range(1, trie.longest + 1):
        low, high = trie.level_offsets[depth], trie.level_offsets[depth + 1]
        sums_BN[:, low:high] += sums_BN[:, trie.parent[low:high]]
    return sums_BN

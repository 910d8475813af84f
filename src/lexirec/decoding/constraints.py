"""Item filters and item scores in beam search: turn a number per item into a bias per trie node.

Beams add a node's bias when they enter it, so filters and second rankers act at every step, not only on the finished
list. Along an item's path the biases sum to the item's own number. Biases are additive: a filter plus a boost is the
sum of both tensors.

Shapes: `B` batch, `I` items, `N` nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie

if TYPE_CHECKING:
    from lexirec.data.sequences import Sequences


def allowed_bias(trie: Trie, allowed_BI: Tensor) -> Tensor:
    """Return (B, N) float32: 0 where an allowed item lies below a node, −inf where none does.

    Args:
        trie: of all items.
        allowed_BI: (B or 1, I) whether each item may be returned.
    """
    # integers: a node is allowed where its range of sorted leaves holds a nonzero count, exactly
    below_BI = functional.pad(allowed_BI[:, trie.order].cumsum(dim=1, dtype=torch.int32), (1, 0))
    some_BN = below_BI[:, trie.last] > below_BI[:, trie.first]
    return torch.zeros(some_BN.shape, device=trie.device).masked_fill_(~some_BN, -torch.inf)


def mass_bias(trie: Trie, mass_BI: Tensor) -> Tensor:
    """Return (B, N) float32: log(mass of a node / mass of its parent); the sum along a path is log mass(item).

    Multiplied by a weight, it adds a second distribution over items to the search (product of experts). `boost_bias` of
    the weighted log masses does so too, with lists nearer to exhaustive ones (docs/decisions/0012). Masses that sum to
    1 give numbers of at most 0; otherwise the nodes of depth 1 carry the total. A mass of 0 forbids an item. Masses are
    summed upwards, child by child in float64: a difference of running sums would lose a small mass beside a large one.

    Args:
        trie: of all items.
        mass_BI: (B or 1, I) at least 0; add a small number to reach items without mass.
    """
    return _telescoped(trie, _gathered_up(trie, mass_BI, "sum").log_())


def boost_bias(trie: Trie, boost_BI: Tensor) -> Tensor:
    """Return (B, N) float32 whose sum down to a node is the greatest boost below it; at a leaf, the item's own.

    The sum at an inner node is an upper bound (admissible) of the boosts below it, so no prefix of a boosted item is
    pruned because its boost would come later. Below depth 1 all numbers are at most 0.

    Args:
        trie: of all items.
        boost_BI: (B or 1, I) a number of any sign to add to an item's score; −inf forbids it.
    """
    return _telescoped(trie, _gathered_up(trie, boost_BI, "amax"))


def seen_mask(histories: Sequences, n_items: int) -> Tensor:
    """Return (B, I) bool on the CPU: True where the row's history contains the item."""
    lengths = torch.from_numpy(histories.lengths).to(torch.int64)
    rows = torch.arange(len(lengths)).repeat_interleave(lengths)
    seen_BI = torch.zeros((len(lengths), n_items), dtype=torch.bool)
    seen_BI[rows, torch.from_numpy(histories.items).to(torch.int64)] = True
    return seen_BI


def no_repeat_bias(trie: Trie, seen_BI: Tensor, penalty: float) -> Tensor:
    """Return (B, N) float32 that subtracts `penalty` from the score of each seen item; `inf` forbids them.

    Args:
        trie: of all items.
        seen_BI: (B, I) bool, as from `seen_mask`.
        penalty: in nats, at least 0.
    """
    return boost_bias(trie, torch.zeros(seen_BI.shape, device=seen_BI.device).masked_fill_(seen_BI, -penalty))


def _gathered_up(trie: Trie, values_BI: Tensor, how: Literal["sum", "amax"]) -> Tensor:
    """Return (B, N) float64: the sum or the maximum of the values of the items below each node."""
    empty = 0.0 if how == "sum" else -torch.inf
    up_BN = torch.full((len(values_BI), trie.n_nodes), empty, dtype=torch.float64, device=trie.device)
    up_BN[:, trie.item_node] = values_BI.double()
    # deepest level first, so that a node is complete before it is added to its parent
    for depth in range(trie.longest, 0, -1):
        above, low, high = trie.level_offsets[depth - 1 : depth + 2]
        parents = (trie.parent[low:high] - above).expand(len(up_BN), -1)
        up_BN[:, above:low].scatter_reduce_(1, parents, up_BN[:, low:high], how)
    return up_BN


def _telescoped(trie: Trie, values_BN: Tensor) -> Tensor:
    """Return each node's value minus its parent's; nodes of depth 1 keep their value, the root gets 0."""
    values_BN[:, 0] = 0
    bias_BN = values_BN - values_BN[:, trie.parent.clamp(min=0)]
    # −inf − (−inf) is NaN: a node below a forbidden one is forbidden, too
    return bias_BN.masked_fill_(values_BN == -torch.inf, -torch.inf).float()

"""Samples of the items below trie nodes, so that a training step of a large catalogue costs what its batch needs.

A head with pooling `mass` scores a node by the sum of the probabilities of the items below it: all items at the root,
thousands in the cells under it. Above `SAMPLED_ABOVE` items a training step draws, for the nodes of its batch, a few
items below each, and estimates the other sums: log mass ≈ log-sum-exp of the drawn logits + log(items / drawn), a
sampled softmax with logQ correction for uniform draws (Bengio and Senécal, 2008). The target's own item always counts
by itself, and a node with few items is summed exactly. Searching and measuring use all items.

Shapes: `V` nodes of a batch, `E` drawn items of all of them, `U` distinct items, `I` items, `D` features, `R` rows,
`S` steps, `H` history.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn.ragged_sums import segment_logsumexp, spread

SAMPLED_ABOVE = 50_000
"""Catalogues of more items are trained on samples."""
ROOT_ITEMS, NODE_ITEMS = 4096, 64
"""Items drawn at the root, shared by all rows, and below any other node."""


@dataclass(frozen=True)
class Sample:
    """Items drawn below the nodes of a batch.

    Attributes:
        nodes_V: the nodes, ascending, the root first.
        offsets_V: (V + 1,), the entries of each node.
        place_E: place of each drawn item in `Trie.order`; all below its node where there are few.
        items_U: the distinct items, ascending.
        row_E: place of each drawn item among `items_U`.
    """

    nodes_V: Tensor
    offsets_V: Tensor
    place_E: Tensor
    items_U: Tensor
    row_E: Tensor

    @classmethod
    def draw(cls, trie: Trie, nodes: Tensor) -> Sample:
        """Draw items below nodes (any shape) and the root: one from each of equal parts of a node's items."""
        nodes_V = torch.unique(torch.cat([nodes.flatten(), nodes.new_zeros(1)]))
        size_V = trie.last[nodes_V] - trie.first[nodes_V]
        most_V = torch.where(nodes_V == 0, ROOT_ITEMS, NODE_ITEMS)
        count_V = torch.minimum(size_V, most_V)
        offsets_V = functional.pad(count_V.cumsum(0), (1, 0))
        node_E, number_E = spread(torch.zeros_like(count_V), count_V)
        within_E = (number_E + torch.rand(len(node_E), dtype=torch.float64, device=node_E.device)) * size_V[node_E]
        place_E = trie.first[nodes_V][node_E] + (within_E / count_V[node_E]).long().clamp(max=size_V[node_E] - 1)
        items_U, row_E = torch.unique(trie.order[place_E], return_inverse=True)
        return cls(nodes_V, offsets_V, place_E, items_U, row_E)

    def of_nodes(self, nodes: Tensor) -> Tensor:
        """Return the place of each node among `nodes_V`."""
        return torch.searchsorted(self.nodes_V, nodes)

    def of_items(self, items: Tensor) -> Tensor:
        """Return the place of each item among `items_U`."""
        return torch.searchsorted(self.items_U, items)

    def means(self, rows_UD: Tensor) -> Tensor:
        """Return the mean row of the items drawn below each node: (V, D)."""
        return functional.embedding_bag(self.row_E, rows_UD, self.offsets_V[:-1], mode="mean")


def log_mass(logit_E: Tensor, row_E: Tensor, items_R: Tensor) -> Tensor:
    """Estimate the log mass of items from the logits of those drawn: (R,), −inf where none is drawn.

    Args:
        logit_E: logits of drawn items.
        row_E: the row that each belongs to.
        items_R: number of items that a row's drawn items stand for.
    """
    drawn_R = torch.bincount(row_E, minlength=len(items_R)).clamp(min=1)
    return segment_logsumexp(logit_E, row_E, len(items_R)) + (items_R.clamp(min=1) / drawn_R).log()

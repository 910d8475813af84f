"""The grounded head with pooling `mean`: children are nodes, their rows means of the item rows below.

Legend: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `I` items, `N` nodes, `D` features, `H` history.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.head_base import Rows, TrieHolder, children_loss, products


class GroundedHead(TrieHolder):
    """Children are nodes, their rows means of the item rows below (pooling `mean`)."""

    def __init__(self, trie: Trie, items: ItemRows, *, cosine: bool, temperature: float) -> None:
        """Set up the maps between the decoder's space and the items'.

        Args:
            trie: of all identifiers.
            items: the items' rows, owned by the model.
            cosine: compare directions only, with a learned temperature.
            temperature: where the temperature starts (logits are cosines divided by it).
        """
        super().__init__(trie)
        width = items.identity.embedding_dim
        self._items = [items]
        self.cosine = cosine
        self.inward, self.outward = (nn.Linear(width, width, bias=False) for _ in range(2))
        nn.init.eye_(self.inward.weight)  # so that a history speaks of what resembles it from the first step on
        nn.init.eye_(self.outward.weight)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature))) if cosine else None

    def rows(self) -> Rows:
        """Pool the items' rows up the trie."""
        items_ID = self._items[0]()
        nodes_ND = self.trie_on(items_ID.device).pool(items_ID)
        return Rows(self._table(nodes_ND), nodes_ND)

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed entered nodes by their rows."""
        assert rows.nodes_ND is not None
        return self.embed_rows(rows.nodes_ND[nodes])

    def embed_rows(self, rows: Tensor) -> Tensor:
        """Bring rows (…, D) into the backbone's input space, at the size its norms expect."""
        embedded: Tensor = self.inward(functional.normalize(rows, dim=-1) * math.sqrt(rows.shape[-1]))
        return embedded

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Cross-entropy over legal children, summed over a path's branches, mean over rows."""
        trie = self.trie_on(hidden_RSD.device)
        identity = torch.arange(trie.n_nodes, device=trie.device)
        return children_loss(
            trie, self.branches(trie.device), self._queries(hidden_RSD), path_RS, rows.table_VD, identity
        )

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the children's rows."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        logits = products(self._queries(hidden_BWD), rows.table_VD, children_BWC.clamp(min=0))
        return logits.masked_fill(children_BWC < 0, -torch.inf).log_softmax(-1)

    def score_legal(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the children; only legal ones have rows."""
        return self.score_children(rows, hidden_BWD, nodes_BW, depth, seen_BH)

    def _queries(self, hidden: Tensor) -> Tensor:
        queries: Tensor = self.outward(hidden.to(self.outward.weight.dtype))
        if self.log_scale is None:
            return queries
        return functional.normalize(queries, dim=-1) * self.log_scale.exp()

    def _table(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=-1) if self.cosine else rows

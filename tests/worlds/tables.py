"""Random catalogues and a decoder that reads its scores from a table: the right answers are known by construction."""

import numpy as np
import torch
from torch import Tensor

from lexirec.decoding.trie import Trie


def random_identifiers(rng: np.random.Generator, *, items: int, vocabulary: int, longest: int) -> np.ndarray:
    """Return distinct identifiers of unequal length, none a prefix of another: rows cut where they are unique."""
    rows = np.unique(rng.integers(0, vocabulary, size=(items, longest)), axis=0)
    common = np.cumprod(rows[1:] == rows[:-1], axis=1).sum(axis=1)
    shortest = np.maximum(np.append(common, 0), np.append(0, common)) + 1
    lengths = np.minimum(shortest + rng.integers(0, 2, size=len(rows)), longest)
    rows[np.arange(longest) >= lengths[:, None]] = -1
    return rng.permutation(rows)


class TableDecoder:
    """Scores of entering each node, (B, N); NaN wherever a search must not look."""

    def __init__(self, trie: Trie, entering_BN: Tensor) -> None:
        self.trie = trie
        self.entering_BN = entering_BN
        self.nodes_BW = torch.zeros((len(entering_BN), 1), dtype=torch.int64)

    @classmethod
    def random(cls, trie: Trie, batch: int, seed: int) -> "TableDecoder":
        """Return one whose scores are log-softmaxes over the children of each node."""
        logits = 2 * torch.randn((batch, trie.n_nodes), generator=torch.Generator().manual_seed(seed))
        total = torch.zeros_like(logits).index_add_(
            1, trie.parent.clamp(min=0), logits.exp().index_fill(1, torch.tensor([0]), 0)
        )
        return cls(trie, logits - total[:, trie.parent.clamp(min=0)].log())

    def start(self) -> Tensor:
        return self._children(self.nodes_BW, 0)

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        assert int(parents_BW.min()) >= 0
        assert int(nodes_BW.min()) > 0
        came_from = self.nodes_BW.gather(1, parents_BW)
        follows = self.trie.parent[nodes_BW] == came_from
        assert bool((follows | (self.trie.depth[nodes_BW] != depth) | (self.trie.node_item[nodes_BW] >= 0)).all())
        self.nodes_BW = nodes_BW
        return self._children(nodes_BW, depth)

    def _children(self, nodes_BW: Tensor, depth: int) -> Tensor:
        children = self.trie.children(nodes_BW, self.trie.max_children[depth])
        found = self.entering_BN.gather(1, children.clamp(min=0).flatten(1)).view(children.shape)
        return found.masked_fill(children < 0, torch.nan)

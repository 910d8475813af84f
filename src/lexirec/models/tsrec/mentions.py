"""Where a text mentions items: identifiers, and beginnings of them, found among token ids.

Legend: `B` batch, `L` tokens, `E` edges of the trie.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lexirec.decoding.trie import Trie


def enter(trie: Trie, nodes: Tensor, tokens: Tensor) -> Tensor:
    """Return the child of each node (…,) along a token (…,); 0, the root, where it has no such child.

    Edges lie sorted by parent and then by token, so that one number per edge can be looked up.
    """
    most = torch.maximum(trie.token.max(), tokens.max()) + 1
    edges_E = trie.parent[1:] * most + trie.token[1:]
    wanted = nodes * most + tokens
    edge = torch.searchsorted(edges_E, wanted).clamp(max=len(edges_E) - 1)
    return torch.where(edges_E[edge] == wanted, edge + 1, 0)


def mentioned(trie: Trie, ids_BL: Tensor) -> Tensor:
    """Return at each token the node that the tokens up to there spell (B, L); 0, the root, where they spell none.

    Identifiers with tokens of their own (`<a_12><b_0><c_7>`) are found wherever they stand, cut ones as far as they go.
    """
    root_BL = torch.zeros_like(ids_BL)
    begun_BL = enter(trie, root_BL, ids_BL)
    found_BL = begun_BL
    for _ in range(1, trie.longest):
        before_BL = torch.cat([root_BL[:, :1], found_BL[:, :-1]], dim=1)
        gone_on_BL = enter(trie, before_BL, ids_BL)
        found_BL = torch.where((before_BL > 0) & (gone_on_BL > 0), gone_on_BL, begun_BL)
    return found_BL

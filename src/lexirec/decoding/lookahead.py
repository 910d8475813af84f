"""Looking ahead: where little of the trie is left below the beams, all of it is read in one pass.

Identifiers end in long chains: after two or three tokens most prefixes have one item left. Step by step, each token of
a chain costs a pass with few rows, which streams all weights and all keys of the prompts for little work. What may
still be entered is known, so the decoder can read it at once, each node seeing its own path only; the search then
takes its steps from a table. Scores and pruning stay what they are.

Legend: `B` batch, `W` width, `E` nodes ahead (a ragged list), `T` nodes ahead of one row, padded, `J` levels ahead,
`N` trie nodes, `D` features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lexirec.decoding.trie import Trie

_WASTE = 1.5
"""How many rows one pass may have for each that steps would have at most. Rows of one pass cost less, but some of them
lie below beams that steps would have pruned."""
_MOST_ROWS = 4096
"""Beyond this many rows, steps use the machine well, and one pass would need much memory."""


class Ahead(NamedTuple):
    """The nodes that may still be entered, beams included, laid out by batch row.

    Attributes:
        nodes_BT: node numbers, ascending in a row but for padding, which repeats the row's last.
        beams_BT: the beam each lies below.
        levels_BT: how far below: 0 for a beam's own node.
        above_BTJ: place (of B · T) of its path's node at each level; its own place at its level and beyond.
    """

    nodes_BT: Tensor
    beams_BT: Tensor
    levels_BT: Tensor
    above_BTJ: Tensor

    def find(self, nodes_BW: Tensor) -> Tensor:
        """Return the place (of T) of each node; any place for a node that is not ahead."""
        place_BW = torch.searchsorted(self.nodes_BT, nodes_BW.contiguous())
        return place_BW.clamp(max=self.nodes_BT.shape[1] - 1)


class _Level(NamedTuple):
    """The nodes of one level: their batch row, beam, and place of the parent in the level above."""

    nodes_E: Tensor
    rows_E: Tensor
    beams_E: Tensor
    parents_E: Tensor


def look_ahead(trie: Trie, nodes_BW: Tensor, depth: int, *, needed_N: Tensor) -> Ahead | None:
    """Lay out what lies below the beams, or return None where steps cost less than one pass.

    Asks for sizes, so it would let a device wait; meant for CPUs.

    Args:
        trie: of all identifiers.
        nodes_BW: where the beams are; those that stand at another depth are dead.
        depth: of the nodes.
        needed_N: (N,) the nodes whose hidden states are asked for; with a node, its path is.
    """
    levels = [_beams(trie, nodes_BW, depth, needed_N)]
    sizes = [len(levels[0].nodes_E)]
    limit = min(_MOST_ROWS, _WASTE * nodes_BW.numel() * (trie.longest - depth))
    while sizes[-1] and sum(sizes) <= limit:
        levels.append(_below(trie, levels[-1], needed_N))
        sizes.append(len(levels[-1].nodes_E))
    by_steps = sum(min(size, nodes_BW.numel()) for size in sizes)
    if sum(sizes) > min(limit, _WASTE * by_steps):
        return None
    return _lay_out(levels[:-1], len(nodes_BW))


def _beams(trie: Trie, nodes_BW: Tensor, depth: int, needed_N: Tensor) -> _Level:
    """Return the living beams, each node of a row once."""
    rows_BW = torch.arange(len(nodes_BW)).unsqueeze(1).expand_as(nodes_BW)
    alive_BW = (trie.depth[nodes_BW] == depth) & needed_N[nodes_BW]
    if not alive_BW.any():
        alive_BW[:, 0] = True  # a pass needs a row
    keys_E, order_E = (rows_BW * trie.n_nodes + nodes_BW)[alive_BW].sort()
    first_E = torch.ones_like(keys_E, dtype=torch.bool)
    first_E[1:] = keys_E.diff() > 0
    beams_E = alive_BW.nonzero()[:, 1][order_E][first_E]
    keys_E = keys_E[first_E]
    return _Level(keys_E % trie.n_nodes, keys_E // trie.n_nodes, beams_E, torch.zeros_like(keys_E))


def _below(trie: Trie, level: _Level, needed_N: Tensor) -> _Level:
    """Return the needed children of a level's nodes."""
    first_E, stop_E = trie.child_offsets[level.nodes_E] + 1, trie.child_offsets[level.nodes_E + 1] + 1
    counts_E = stop_E - first_E
    parents = torch.repeat_interleave(counts_E)
    nodes = torch.arange(len(parents)) - (counts_E.cumsum(0) - counts_E - first_E)[parents]
    needed = needed_N[nodes]
    parents = parents[needed]
    return _Level(nodes[needed], level.rows_E[parents], level.beams_E[parents], parents)


def _lay_out(levels: list[_Level], batch: int) -> Ahead:
    """Set the nodes of all levels in rows; nodes deeper in the trie have higher numbers, so a row is ascending."""
    rows_E = torch.cat([level.rows_E for level in levels])
    counts_B = torch.bincount(rows_E, minlength=batch)
    longest = int(counts_B.max())
    order_E = rows_E.argsort(stable=True)
    starts_B = counts_B.cumsum(0) - counts_B
    place_E = torch.empty_like(order_E)
    place_E[order_E] = torch.arange(len(order_E)) - starts_B[rows_E[order_E]] + rows_E[order_E] * longest
    column_T = torch.minimum(torch.arange(longest), (counts_B - 1).clamp(min=0).unsqueeze(1))
    entry_BT = order_E[(starts_B.unsqueeze(1) + column_T).clamp(max=len(order_E) - 1)]
    level_E = torch.repeat_interleave(torch.tensor([len(level.nodes_E) for level in levels]))
    own_B11 = torch.arange(batch)[:, None, None] * longest
    above_BTJ = _paths(levels, place_E)[entry_BT].where(counts_B[:, None, None] > 0, own_B11)
    return Ahead(
        torch.cat([level.nodes_E for level in levels])[entry_BT],
        torch.cat([level.beams_E for level in levels])[entry_BT],
        level_E[entry_BT],
        above_BTJ,  # a row that has nothing ahead holds what another row has, but sees its own places
    )


def _paths(levels: list[_Level], place_E: Tensor) -> Tensor:
    """Return the places (E, J) of each node's path, its own from its level on."""
    own = torch.split(place_E, [len(level.nodes_E) for level in levels])
    paths = [own[0].unsqueeze(1).expand(-1, len(levels))]
    for number, (level, place) in enumerate(zip(levels[1:], own[1:], strict=True), start=1):
        above = paths[-1][level.parents_E]
        paths.append(torch.cat([above[:, :number], place.unsqueeze(1).expand(-1, len(levels) - number)], dim=1))
    return torch.cat(paths)

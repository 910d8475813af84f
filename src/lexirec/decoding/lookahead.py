"""Look-ahead decoding: collect all trie nodes below the beams, so that the decoder reads them in one pass.

Identifiers end in long chains: after two or three tokens most prefixes have one item left. Step by step, each token of
a chain costs a pass with few rows, which streams all weights and all keys of the prompts for little arithmetic. The
nodes that can still be entered are known, so the decoder reads them together, each attending to its own path only, and
the search looks its steps up in a table. Scores and pruning do not change.

Shapes: `B` batch, `W` width, `E` nodes ahead (a ragged list), `T` nodes ahead of one row, padded, `J` levels ahead,
`N` trie nodes, `D` features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lexirec.decoding.trie import Trie

_WASTE = 1.5
"""Rows of one pass allowed per row that steps would compute at most. A row costs less in one pass than in steps, but
some rows lie below beams that steps would have pruned."""
_MOST_ROWS = 4096
"""Beyond this many rows, steps use the machine well, and one pass would need much memory."""


class Ahead(NamedTuple):
    """All nodes that can still be entered, the beams' own included, as a padded matrix with one row per batch row.

    Attributes:
        nodes_BT: node numbers, ascending within a row; padding repeats the row's last.
        beams_BT: the beam that each node lies below.
        levels_BT: distance to that beam: 0 for the beam's own node.
        above_BTJ: flat index (of B · T) of the node's ancestor at each level; its own index from its level on.
    """

    nodes_BT: Tensor
    beams_BT: Tensor
    levels_BT: Tensor
    above_BTJ: Tensor

    def find(self, nodes_BW: Tensor) -> Tensor:
        """Return the column (of T) of each node; an arbitrary column for a node that is not in the row."""
        place_BW = torch.searchsorted(self.nodes_BT, nodes_BW.contiguous())
        return place_BW.clamp(max=self.nodes_BT.shape[1] - 1)


class _Level(NamedTuple):
    """The nodes of one level, as a flat list: batch row, beam, and index of the parent in the level above."""

    nodes_E: Tensor
    rows_E: Tensor
    beams_E: Tensor
    parents_E: Tensor


def look_ahead(trie: Trie, nodes_BW: Tensor, depth: int, *, needed_N: Tensor) -> Ahead | None:
    """Collect the nodes below the beams, or return None where steps cost less than one pass.

    For CPUs: it reads sizes, which would synchronise a device.

    Args:
        trie: of all identifiers.
        nodes_BW: the node of each beam; a node of another depth marks a dead beam.
        depth: of the nodes.
        needed_N: (N,) the nodes whose hidden states are needed; the path to a needed node is needed, too.
    """
    levels = [_beams(trie, nodes_BW, depth, needed_N)]
    sizes = [len(levels[0].nodes_E)]
    limit = min(_MOST_ROWS, _WASTE * nodes_BW.numel() * (trie.longest - depth))
    while sizes[-1] and sum(sizes) <= limit:
        levels.append(_below(trie, levels[-1], needed_N))
        sizes.append(len(levels[-1].nodes_E))
    # steps compute at most one row per beam and level, whatever the trie's size below
    by_steps = sum(min(size, nodes_BW.numel()) for size in sizes)
    if sum(sizes) > min(limit, _WASTE * by_steps):
        return None
    return _lay_out(levels[:-1], len(nodes_BW))


def _beams(trie: Trie, nodes_BW: Tensor, depth: int, needed_N: Tensor) -> _Level:
    """Return the live beams as the first level; beams of a row on the same node count once."""
    rows_BW = torch.arange(len(nodes_BW)).unsqueeze(1).expand_as(nodes_BW)
    alive_BW = (trie.depth[nodes_BW] == depth) & needed_N[nodes_BW]
    if not alive_BW.any():
        alive_BW[:, 0] = True  # a pass needs at least one row
    # one sortable key for (row, node): sorting groups the rows and brings duplicates together
    keys_E, order_E = (rows_BW * trie.n_nodes + nodes_BW)[alive_BW].sort()
    first_E = torch.ones_like(keys_E, dtype=torch.bool)
    first_E[1:] = keys_E.diff() > 0
    beams_E = alive_BW.nonzero()[:, 1][order_E][first_E]
    keys_E = keys_E[first_E]
    return _Level(keys_E % trie.n_nodes, keys_E // trie.n_nodes, beams_E, torch.zeros_like(keys_E))


def _below(trie: Trie, level: _Level, needed_N: Tensor) -> _Level:
    """Return the needed children of a level's nodes."""
    # children are consecutive node numbers: expand each range [first, stop) without a loop
    first_E, stop_E = trie.child_offsets[level.nodes_E] + 1, trie.child_offsets[level.nodes_E + 1] + 1
    counts_E = stop_E - first_E
    parents = torch.repeat_interleave(counts_E)
    nodes = torch.arange(len(parents)) - (counts_E.cumsum(0) - counts_E - first_E)[parents]
    needed = needed_N[nodes]
    parents = parents[needed]
    return _Level(nodes[needed], level.rows_E[parents], level.beams_E[parents], parents)


def _lay_out(levels: list[_Level], batch: int) -> Ahead:
    """Arrange the nodes of all levels in rows; deeper nodes have higher numbers, so rows are ascending."""
    rows_E = torch.cat([level.rows_E for level in levels])
    counts_B = torch.bincount(rows_E, minlength=batch)
    longest = int(counts_B.max())
    order_E = rows_E.argsort(stable=True)
    starts_B = counts_B.cumsum(0) - counts_B
    # index_E: flat index (of B · T) of each entry, for the ancestors; entry_BT: the entry of each cell, to gather by
    index_E = torch.empty_like(order_E)
    index_E[order_E] = torch.arange(len(order_E)) - starts_B[rows_E[order_E]] + rows_E[order_E] * longest
    column_BT = torch.minimum(torch.arange(longest), (counts_B - 1).clamp(min=0).unsqueeze(1))
    entry_BT = order_E[(starts_B.unsqueeze(1) + column_BT).clamp(max=len(order_E) - 1)]
    level_E = torch.repeat_interleave(torch.tensor([len(level.nodes_E) for level in levels]))
    own_B11 = torch.arange(batch)[:, None, None] * longest
    # a row without nodes repeats entries of another row, but may attend to its own columns only
    above_BTJ = _paths(levels, index_E)[entry_BT].where(counts_B[:, None, None] > 0, own_B11)
    return Ahead(
        torch.cat([level.nodes_E for level in levels])[entry_BT],
        torch.cat([level.beams_E for level in levels])[entry_BT],
        level_E[entry_BT],
        above_BTJ,
    )


def _paths(levels: list[_Level], index_E: Tensor) -> Tensor:
    """Return the indices (E, J) of each node's ancestors, its own index from its level on."""
    own = torch.split(index_E, [len(level.nodes_E) for level in levels])
    paths = [own[0].unsqueeze(1).expand(-1, len(levels))]
    for number, (level, index) in enumerate(zip(levels[1:], own[1:], strict=True), start=1):
        above = paths[-1][level.parents_E]
        paths.append(torch.cat([above[:, :number], index.unsqueeze(1).expand(-1, len(levels) - number)], dim=1))
    return torch.cat(paths)

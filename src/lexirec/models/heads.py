"""Heads: what turns the decoder's hidden states into scores of trie children, and embeds the nodes it has entered.

| head | likelihood | scores of a node's children |
|---|---|---|
| `vocabulary` | `vocabulary` | softmax over the whole vocabulary (GRAM): mass on illegal tokens is lost |
| `vocabulary` | `catalog` | softmax over the legal children only: identifiers' probabilities sum to one |
| `grounded`, pooling `mean` | `catalog` | rows of nodes = means of the item rows below, optionally by cosine |
| `grounded`, pooling `mass` | `catalog` | log-sum-exp of the scores of the items below: no label bias at the root |

Legend: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `V` rows of a table, `I` items, `N` nodes,
`D` features, `E` entries of a ragged list, `H` history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.models.item_rows import ItemRows

_GATHER_COST = 32
"""Fetching a row costs about as much as this many rows of a matrix product (an estimate from memory bandwidth
and matrix rate of a CPU; either way gives the same numbers)."""


@dataclass
class Rows:
    """What a head computes once per forward pass: a table of rows and, for grounded heads, the nodes' rows."""

    table_VD: Tensor
    nodes_ND: Tensor | None = None


class Head(Protocol):
    """Scores children and embeds nodes."""

    def rows(self) -> Rows:
        """Compute what depends on weights alone."""

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Return the decoder's input embeddings (…, D) of entered nodes (…,)."""

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of target paths (node numbers, −1 beyond the leaf)."""

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of nodes of one depth."""

    def steps(self, path_RS: Tensor) -> int:
        """Return how many steps of these paths say anything."""


class _TrieHolder(nn.Module):
    """A module that keeps the trie on its own device."""

    def __init__(self, trie: Trie) -> None:
        super().__init__()
        self._trie = trie
        self._branches: Tensor | None = None

    def trie_on(self, device: torch.device) -> Trie:
        """Return the trie on a device."""
        if self._trie.device != device:
            self._trie = self._trie.to(device)
            self._branches = None
        return self._trie

    def branches(self, device: torch.device) -> Tensor:
        """Return, per node, whether it has two children or more: bool (N,)."""
        trie = self.trie_on(device)
        if self._branches is None:
            self._branches = trie.child_offsets.diff() > 1
        return self._branches

    def steps(self, path_RS: Tensor) -> int:
        """Steps after a path's last branch are certain: they need not be run."""
        parents_RS = _parents(path_RS)
        telling_S = (self.branches(path_RS.device)[parents_RS] & (path_RS >= 0)).any(0)
        return max(1, int(telling_S.nonzero().max()) + 1) if bool(telling_S.any()) else 1


class VocabularyHead(_TrieHolder):
    """Children are tokens, their rows those of the backbone's output layer."""

    def __init__(self, backbone: Any, trie: Trie, likelihood: Literal["vocabulary", "catalog"]) -> None:
        """Read the backbone's output layer; the backbone stays the owner of its weights."""
        super().__init__(trie)
        self._backbone = [backbone]  # in a list, so that it is not registered a second time
        self.likelihood = likelihood

    def rows(self) -> Rows:
        """Return the output layer."""
        return Rows(self._backbone[0].lm_head.weight)

    def _queries(self, hidden: Tensor) -> Tensor:
        """Scale hidden states as T5 does before tied embeddings."""
        backbone = self._backbone[0]
        scaled = getattr(backbone.config, "scale_decoder_outputs", backbone.config.tie_word_embeddings)
        return hidden * backbone.model_dim**-0.5 if scaled else hidden

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed the token of each node."""
        embedded: Tensor = self._backbone[0].shared(self.trie_on(nodes.device).token[nodes])
        return embedded

    def steps(self, path_RS: Tensor) -> int:
        """Under the full vocabulary every token counts, also where only one is legal."""
        if self.likelihood == "catalog":
            return super().steps(path_RS)
        return int((path_RS >= 0).sum(1).max())

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Token cross-entropy: mean over tokens (vocabulary; GRAM, spec section 8) or rows (catalog)."""
        trie = self.trie_on(hidden_RSD.device)
        if self.likelihood == "catalog":
            return _children_loss(
                trie, self.branches(trie.device), self._queries(hidden_RSD), path_RS, rows.table_VD, trie.token
            )
        real_RS = path_RS >= 0
        logits = functional.linear(self._queries(hidden_RSD[real_RS]), rows.table_VD)
        return functional.cross_entropy(logits.float(), trie.token[path_RS[real_RS]])

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the tokens of the children."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        tokens_BWC = trie.token[children_BWC.clamp(min=1)]
        if self.likelihood == "catalog":
            logits = _scores(self._queries(hidden_BWD), rows.table_VD, tokens_BWC)
            return logits.masked_fill(children_BWC < 0, -torch.inf).log_softmax(-1)
        logits_BWV = functional.linear(self._queries(hidden_BWD), rows.table_VD).float()
        return logits_BWV.gather(-1, tokens_BWC) - _log_sum_exp_(logits_BWV)


class GroundedHead(_TrieHolder):
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
        return _children_loss(
            trie, self.branches(trie.device), self._queries(hidden_RSD), path_RS, rows.table_VD, identity
        )

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score the children's rows."""
        trie = self.trie_on(hidden_BWD.device)
        children_BWC = trie.children(nodes_BW, trie.max_children[depth])
        logits = _scores(self._queries(hidden_BWD), rows.table_VD, children_BWC.clamp(min=0))
        return logits.masked_fill(children_BWC < 0, -torch.inf).log_softmax(-1)

    def _queries(self, hidden: Tensor) -> Tensor:
        queries: Tensor = self.outward(hidden)
        if self.log_scale is None:
            return queries
        return functional.normalize(queries, dim=-1) * self.log_scale.exp()

    def _table(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=-1) if self.cosine else rows


class MassHead(GroundedHead):
    """A child's score is the log-sum-exp of the scores of the items below it (pooling `mass`).

    The root's distribution over cells is then that of a flat softmax over all items, so a cell is not judged by one
    row that has to stand for all its items; later steps score again, knowing which cell was entered. Costs one score
    per item at the root: for catalogues up to about 10^5 items.

    A learned penalty on the items of the history says how seldom this shop sells a thing twice; it is part of the
    likelihood, so lists with seen items in them know it too.
    """

    def __init__(self, trie: Trie, items: ItemRows, *, cosine: bool, temperature: float, no_repeat: bool) -> None:
        """See `GroundedHead`; `no_repeat` adds the learned penalty."""
        super().__init__(trie, items, cosine=cosine, temperature=temperature)
        self.repeat = nn.Parameter(torch.tensor(-1.0)) if no_repeat else None
        spans = trie.last - trie.first
        self._most_below = [int(spans[low:high].max()) for low, high in _levels(trie)]
        self._path_IS: Tensor | None = None

    def rows(self) -> Rows:
        """Keep the items' own rows as the table; nodes' rows are for entering them."""
        items_ID = self._items[0]()
        return Rows(self._table(items_ID), self.trie_on(items_ID.device).pool(items_ID))

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Sum over a path's branches of log mass(parent) − log mass(child), each pair under one step's scores."""
        trie = self.trie_on(hidden_RSD.device)
        branches = self.branches(trie.device)
        queries_RSD = self._queries(hidden_RSD)
        logits_RI = self._penalised(queries_RSD[:, 0] @ rows.table_VD.T, seen_RH)
        total = logits_RI.logsumexp(1) - self._mass(trie, path_RS[:, 0], logits_RI)
        for step in range(1, queries_RSD.shape[1]):
            open_R = ((path_RS[:, step] >= 0) & branches[path_RS[:, step - 1].clamp(min=0)]).nonzero().squeeze(1)
            above, below = path_RS[open_R, step - 1], path_RS[open_R, step]
            row_E, place_E = _spread(trie.first[above], trie.last[above])
            item_E = trie.order[place_E]
            logit_E = (queries_RSD[open_R, step][row_E] * rows.table_VD[item_E]).sum(-1)
            logit_E = self._penalised_entries(logit_E, item_E, seen_RH[open_R], row_E)
            inside_E = (place_E >= trie.first[below][row_E]) & (place_E < trie.last[below][row_E])
            mass = _segment_logsumexp(logit_E, row_E, len(open_R))
            part = _segment_logsumexp(logit_E[inside_E], row_E[inside_E], len(open_R))
            total = total.index_add(0, open_R, mass - part)
        return total.mean()

    def _mass(self, trie: Trie, nodes_R: Tensor, logits_RI: Tensor) -> Tensor:
        """Return the log mass (R,) below one node per row."""
        row_E, place_E = _spread(trie.first[nodes_R], trie.last[nodes_R])
        return _segment_logsumexp(logits_RI[row_E, trie.order[place_E]], row_E, len(nodes_R))

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score all items below the nodes and gather them by child."""
        trie = self.trie_on(hidden_BWD.device)
        queries_BWD = self._queries(hidden_BWD)
        width = self._most_below[depth]
        place_BWK = trie.first[nodes_BW][..., None] + torch.arange(width, device=trie.device)
        there_BWK = place_BWK < trie.last[nodes_BW][..., None]
        item_BWK = trie.order[place_BWK.clamp(max=trie.n_items - 1)]
        if depth == 0:  # one beam, all items
            logits_BWK = (queries_BWD @ rows.table_VD.T).gather(-1, item_BWK)
        else:
            logits_BWK = _scores(queries_BWD, rows.table_VD, item_BWK)
        if self.repeat is not None:
            seen_BWK = _among(item_BWK.flatten(1), seen_BH).view_as(item_BWK)
            logits_BWK = logits_BWK - seen_BWK * self._penalty()
        logits_BWK = logits_BWK.masked_fill(~there_BWK, -torch.inf)
        child_BWK = self._below(trie)[item_BWK, depth] - (trie.child_offsets[nodes_BW][..., None] + 1)
        shape = (*nodes_BW.shape, trie.max_children[depth])
        child_BWK = child_BWK.masked_fill(~there_BWK, 0).clamp(0, shape[-1] - 1)  # dead beams stand at other depths
        highest = logits_BWK.amax(-1, keepdim=True).clamp(min=-1e30)
        peak_BWC = logits_BWK.new_full(shape, -1e30).scatter_reduce(-1, child_BWK, logits_BWK, "amax")
        mass_BWC = logits_BWK.new_zeros(shape).scatter_add(
            -1, child_BWK, (logits_BWK - peak_BWC.gather(-1, child_BWK)).exp()
        )
        logp_BWC = mass_BWC.log() + peak_BWC
        return logp_BWC - (logits_BWK - highest).exp().sum(-1, keepdim=True).log() - highest

    def _below(self, trie: Trie) -> Tensor:
        """Return each item's node per depth: column d is the child entered from depth d."""
        if self._path_IS is None or self._path_IS.device != trie.device:
            self._path_IS = trie.ancestors().clamp(min=0)
        return self._path_IS

    def _penalty(self) -> Tensor:
        assert self.repeat is not None
        return 10 * functional.softplus(self.repeat)  # ten, so that it moves at the pace of the logits

    def _penalised(self, logits_RI: Tensor, seen_RH: Tensor) -> Tensor:
        if self.repeat is None:
            return logits_RI
        seen_RI = torch.zeros_like(logits_RI).scatter_add(1, seen_RH.clamp(min=0), (seen_RH >= 0).to(logits_RI.dtype))
        return logits_RI - seen_RI.clamp(max=1) * self._penalty()

    def _penalised_entries(self, logit_E: Tensor, item_E: Tensor, seen_RH: Tensor, row_E: Tensor) -> Tensor:
        if self.repeat is None:
            return logit_E
        return logit_E - (seen_RH[row_E] == item_E[:, None]).any(1) * self._penalty()


def _children_loss(
    trie: Trie, branches_N: Tensor, hidden_RSD: Tensor, path_RS: Tensor, table_VD: Tensor, row_of_N: Tensor
) -> Tensor:
    """Cross-entropy among siblings where a path branches: summed over a path, mean over rows.

    Entries of all rows and children are one ragged list per step, so that wide nodes cost only themselves.
    """
    total = hidden_RSD.new_zeros(len(path_RS), dtype=torch.float32)
    for step in range(hidden_RSD.shape[1]):
        above_R = _parents(path_RS)[:, step]
        open_R = ((path_RS[:, step] >= 0) & branches_N[above_R]).nonzero().squeeze(1)
        above, below, hidden = above_R[open_R], path_RS[open_R, step], hidden_RSD[open_R, step]
        if step == 0:  # all rows stand at the root: one product with its children
            logits = (hidden @ table_VD[row_of_N[1 : 1 + trie.max_children[0]]].T).float()
            total = total.index_add(0, open_R, functional.cross_entropy(logits, below - 1, reduction="none"))
            continue
        row_E, edge_E = _spread(trie.child_offsets[above], trie.child_offsets[above + 1])
        logit_E = (hidden[row_E] * table_VD[row_of_N[edge_E + 1]]).sum(-1).float()
        mass = _segment_logsumexp(logit_E, row_E, len(open_R))
        target = (hidden * table_VD[row_of_N[below]]).sum(-1).float()
        total = total.index_add(0, open_R, mass - target)
    return total.mean()


def _parents(path_RS: Tensor) -> Tensor:
    """Return the node each step starts from; the root first."""
    return torch.cat([torch.zeros_like(path_RS[:, :1]), path_RS[:, :-1].clamp(min=0)], dim=1)


def _scores(queries_BWD: Tensor, table_VD: Tensor, index_BWC: Tensor) -> Tensor:
    """Return products (B, W, C) of queries with chosen rows, by whichever way moves less."""
    if len(table_VD) <= _GATHER_COST * index_BWC.shape[-1]:
        return (queries_BWD @ table_VD.T).gather(-1, index_BWC).float()
    return (table_VD[index_BWC] @ queries_BWD.unsqueeze(-1)).squeeze(-1).float()


def _log_sum_exp_(logits_BWV: Tensor) -> Tensor:
    """Return the log-sum-exp over the last dimension (B, W, 1); the logits are used up.

    In place, because a fresh tensor of this size costs more than all that is computed with it (16 times on CPUs).
    """
    peak_BW1 = logits_BWV.amax(-1, keepdim=True)
    return logits_BWV.sub_(peak_BW1).exp_().sum(-1, keepdim=True).log_().add_(peak_BW1)


def _spread(first_R: Tensor, last_R: Tensor) -> tuple[Tensor, Tensor]:
    """Write ranges out: for every number in `first_R[r] … last_R[r] − 1`, the row r and the number."""
    sizes_R = last_R - first_R
    row_E = torch.repeat_interleave(torch.arange(len(sizes_R), device=sizes_R.device), sizes_R)
    starts_R = sizes_R.cumsum(0) - sizes_R
    return row_E, torch.arange(len(row_E), device=row_E.device) - (starts_R - first_R)[row_E]


def _segment_logsumexp(values_E: Tensor, row_E: Tensor, rows: int) -> Tensor:
    """Log-sum-exp of each row's entries; every row has at least one."""
    peak_R = values_E.detach().new_full((rows,), -torch.inf).scatter_reduce(0, row_E, values_E.detach(), "amax")
    total_R = values_E.new_zeros(rows).index_add(0, row_E, (values_E - peak_R[row_E]).exp())
    return total_R.log() + peak_R


def _among(item_BK: Tensor, seen_BH: Tensor) -> Tensor:
    """Return whether each item stands in its row's history: bool (B, K)."""
    seen, _ = seen_BH.sort(dim=1)
    place = torch.searchsorted(seen, item_BK).clamp(max=max(seen.shape[1] - 1, 0))
    return seen.gather(1, place) == item_BK if seen.shape[1] else torch.zeros_like(item_BK, dtype=torch.bool)


def _levels(trie: Trie) -> list[tuple[int, int]]:
    return [(trie.level_offsets[depth], trie.level_offsets[depth + 1]) for depth in range(trie.longest)]

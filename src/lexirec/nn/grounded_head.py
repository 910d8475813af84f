"""Grounded heads: score trie children by item embeddings instead of token embeddings.

With pooling `mean` a child is scored by its own row, the mean of the item rows below it; with pooling `mass` by the
log-sum-exp of the scores of the items below it.

Shapes: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `I` items, `K` items below a node, `D` features,
`E` entries of a ragged list, `H` history.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.head_base import Rows, TrieHolder, children_loss, log_shares, products, segment_logsumexp, spread, wide
from lexirec.nn.sampled_rows import SAMPLED_ABOVE, Sample, log_mass


class GroundedHead(TrieHolder):
    """Head with pooling `mean`: scores a child by the mean of the item rows below it."""

    def __init__(self, trie: Trie, items: ItemRows, *, cosine: bool, temperature: float) -> None:
        """Initialise the maps between the decoder's space and that of the items.

        Args:
            trie: of all identifiers.
            items: the items' rows, owned by the model.
            cosine: score by cosine similarity, with a learned temperature.
            temperature: initial temperature (logits are cosines divided by it).
        """
        super().__init__(trie)
        width = items.identity.embedding_dim
        self._items = [items]  # in a list, so that the module is not registered a second time
        self.cosine = cosine
        self.inward, self.outward = (nn.Linear(width, width, bias=False) for _ in range(2))
        nn.init.eye_(self.inward.weight)  # identity: a history scores similar items highly from the first step
        nn.init.eye_(self.outward.weight)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature))) if cosine else None

    def rows(self) -> Rows:
        """Pool the items' rows up the trie."""
        items_ID = self._items[0]()
        nodes_ND = self.trie_on(items_ID.device).pool(items_ID)
        return Rows(self._table(nodes_ND), nodes_ND)

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Embed entered nodes by their rows."""
        return self.embed_rows(rows.node_rows(nodes))

    def embed_rows(self, rows: Tensor) -> Tensor:
        """Map rows (…, D) into the backbone's input space, at the scale that its norms expect."""
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
        logits = products(self._queries(hidden_BWD), rows.table_VD, children_BWC.clamp(min=0), nodes_BW)
        return log_shares(logits.masked_fill(children_BWC < 0, -torch.inf), self.trained_children(children_BWC))

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


class _Chosen(NamedTuple):
    """The rows of a step that are scored: queries (R, D) and histories (R, H)."""

    queries_RD: Tensor
    seen_RH: Tensor


class MassHead(GroundedHead):
    """Head with pooling `mass`: scores a child by the log-sum-exp of the scores of the items below it.

    The root's distribution over cells is then the marginal of a flat softmax over all items, so no single row has to
    represent all items of a cell; later steps score again, conditioned on the cell that was entered. The root costs one
    score per item: for catalogues up to about 10^5 items.

    A learned penalty on items of the history models how rarely an item is consumed twice. It is part of the likelihood,
    so rankings that may include seen items use it, too.
    """

    def __init__(self, trie: Trie, items: ItemRows, *, cosine: bool, temperature: float, no_repeat: bool) -> None:
        """Initialise as `GroundedHead`; `no_repeat` adds the learned penalty on seen items."""
        super().__init__(trie, items, cosine=cosine, temperature=temperature)
        self.repeat = nn.Parameter(torch.tensor(-1.0)) if no_repeat else None
        spans = trie.last - trie.first
        self._most_below = [int(spans[low:high].max()) for low, high in _levels(trie)]
        self._path_IS: Tensor | None = None

    def rows(self) -> Rows:
        """Return the items' rows for scoring, and the pooled nodes' rows for embedding entered nodes."""
        items_ID = self._items[0]()
        return Rows(self._table(items_ID), self.trie_on(items_ID.device).pool(items_ID))

    def rows_of(self, nodes: Tensor, *, whole: bool = False) -> Rows:
        """Compute the rows of items drawn below these nodes while a large catalogue is trained (`sampled_rows`)."""
        items = self._items[0]
        trie = self.trie_on(items.identity.weight.device)
        if whole or not self.training or trie.trained is not None or trie.n_items <= SAMPLED_ABOVE:
            return self.rows()
        sample = Sample.draw(trie, nodes)
        rows_UD = items.some(sample.items_U)
        return Rows(self._table(rows_UD), sample.means(rows_UD), sample=sample)

    def loss(
        self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor, soft_targets_RI: Tensor | None = None
    ) -> Tensor:
        """Return log mass(parent) − log mass(child), summed over a path's branches; a step's scores give both masses.

        `soft_targets_RI` holds teacher probabilities, scaled by the distillation weight: that share of the loss is the
        cross-entropy of the root's distribution over items against them, the rest is the path's loss.
        """
        trie = self.trie_on(hidden_RSD.device)
        branches = self.branches(trie.device)
        queries_RSD = self._queries(hidden_RSD)
        if rows.sample is not None:
            return self._sampled_loss(rows, rows.sample, queries_RSD, path_RS, seen_RH)
        logits_RI = wide(self._flat(rows, queries_RSD[:, 0], seen_RH))  # sums of masses need it, also in bfloat16
        total = logits_RI.logsumexp(1) - self._mass(trie, path_RS[:, 0], logits_RI)
        for step in range(1, queries_RSD.shape[1]):
            # below the root nodes hold few items, of very different numbers: a ragged list of (row, item) entries
            open_R = ((path_RS[:, step] >= 0) & branches[path_RS[:, step - 1].clamp(min=0)]).nonzero().squeeze(1)
            above, below = path_RS[open_R, step - 1], path_RS[open_R, step]
            row_E, place_E = spread(trie.first[above], trie.last[above])
            item_E = trie.order[place_E]
            logit_E = (queries_RSD[open_R, step][row_E] * rows.table_VD[item_E]).sum(-1)
            logit_E = self._penalised_entries(logit_E, item_E, seen_RH[open_R], row_E)
            inside_E = (place_E >= trie.first[below][row_E]) & (place_E < trie.last[below][row_E])
            mass = segment_logsumexp(logit_E, row_E, len(open_R))
            part = segment_logsumexp(logit_E[inside_E], row_E[inside_E], len(open_R))
            total = total.index_add(0, open_R, mass - part)
        if soft_targets_RI is not None:
            total = (1 - soft_targets_RI.sum(1)) * total - (soft_targets_RI * logits_RI.log_softmax(1)).sum(1)
        return total.mean()

    def _sampled_loss(
        self, rows: Rows, sample: Sample, queries_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor
    ) -> Tensor:
        """Estimate the loss from the drawn items: the target counts by itself, the others for what they stand for."""
        trie, total = self.trie_on(queries_RSD.device), wide(queries_RSD.new_zeros(len(path_RS)))
        branches = self.branches(trie.device)
        deepest_R = path_RS.gather(1, ((path_RS >= 0).sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        place_R = trie.first[deepest_R]  # beyond the deepest node of a path nothing branches: its item is the target
        for step, below_R in enumerate(path_RS.unbind(1)):
            above_R = path_RS[:, step - 1].clamp(min=0) if step else torch.zeros_like(below_R)
            open_R = ((below_R >= 0) & branches[above_R]).nonzero().squeeze(1)
            above, below, target = above_R[open_R], below_R[open_R], place_R[open_R]
            chosen = _Chosen(queries_RSD[open_R, step], seen_RH[open_R])
            item = trie.order[target]
            own = wide((chosen.queries_RD * rows.table_VD[sample.of_items(item)]).sum(-1))
            own = self._penalised_entries(own, item, chosen.seen_RH, torch.arange(len(item), device=item.device))
            child = torch.logaddexp(own, self._rest(rows, sample, chosen, below, (target, target + 1)))
            hole = trie.first[below], trie.last[below]
            parent = torch.logaddexp(child, self._rest(rows, sample, chosen, above, hole))
            total = total.index_add(0, open_R, parent - child)
        return total.mean()

    def _rest(
        self, rows: Rows, sample: Sample, chosen: _Chosen, nodes_R: Tensor, hole: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Estimate the log mass (R,) below one node per row, without the items at the places of a hole."""
        trie, of_V = self.trie_on(nodes_R.device), sample.of_nodes(nodes_R)
        row_E, entry_E = spread(sample.offsets_V[of_V], sample.offsets_V[of_V + 1])
        place_E = sample.place_E[entry_E]
        kept_E = (place_E < hole[0][row_E]) | (place_E >= hole[1][row_E])
        row_E, entry_E, place_E = row_E[kept_E], entry_E[kept_E], place_E[kept_E]
        index_E, item_E = sample.row_E[entry_E], trie.order[place_E]
        if len(nodes_R) and not nodes_R.any():  # all rows stand at the root and share its items: one product
            every_RU = chosen.queries_RD @ rows.table_VD[sample.row_E[: sample.offsets_V[1]]].T
            logit_E = wide(every_RU)[row_E, entry_E]
            if self.repeat is not None:
                drawn_RU = trie.order[sample.place_E[: sample.offsets_V[1]]].expand_as(every_RU).contiguous()
                seen_RU = _among(drawn_RU, chosen.seen_RH, trie.n_items)
                logit_E = logit_E - seen_RU[row_E, entry_E] * self._penalty()
        else:
            logit_E = wide((chosen.queries_RD[row_E] * rows.table_VD[index_E]).sum(-1))
            logit_E = self._penalised_entries(logit_E, item_E, chosen.seen_RH, row_E)
        size_R = trie.last[nodes_R] - trie.first[nodes_R]
        return log_mass(logit_E, row_E, size_R - (hole[1] - hole[0]))

    def item_logp(self, rows: Rows, hidden_BD: Tensor, seen_BH: Tensor) -> Tensor:
        """Return the items' log-probabilities (B, I) under the root's flat softmax."""
        logits_BI = self._flat(rows, self._queries(hidden_BD), seen_BH)
        trained = self.trie_on(hidden_BD.device).trained
        among_1I = torch.arange(logits_BI.shape[1], device=logits_BI.device)[None]
        return log_shares(logits_BI, None if trained is None else (among_1I < trained).expand_as(logits_BI))

    def _flat(self, rows: Rows, queries_RD: Tensor, seen_RH: Tensor) -> Tensor:
        return self._penalised(queries_RD @ rows.table_VD.T, seen_RH)

    def _mass(self, trie: Trie, nodes_R: Tensor, logits_RI: Tensor) -> Tensor:
        """Return the log mass (R,) below one node per row."""
        row_E, place_E = spread(trie.first[nodes_R], trie.last[nodes_R])
        return segment_logsumexp(logits_RI[row_E, trie.order[place_E]], row_E, len(nodes_R))

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Score all items below the nodes and gather them by child."""
        trie = self.trie_on(hidden_BWD.device)
        queries_BWD = self._queries(hidden_BWD)
        width = self._most_below[depth]
        place_BWK = trie.first[nodes_BW][..., None] + torch.arange(width, device=trie.device)
        there_BWK = place_BWK < trie.last[nodes_BW][..., None]
        item_BWK = trie.order[place_BWK.clamp(max=trie.n_items - 1)]
        if depth == 0:  # one beam over all items: a plain product instead of gathered rows
            logits_BWK = (queries_BWD @ rows.table_VD.T).gather(-1, item_BWK)
        else:
            logits_BWK = products(queries_BWD, rows.table_VD, item_BWK, nodes_BW)
        if self.repeat is not None:
            seen_BWK = _among(item_BWK.flatten(1), seen_BH, trie.n_items).view_as(item_BWK)
            logits_BWK = logits_BWK - seen_BWK * self._penalty()
        logits_BWK = logits_BWK.masked_fill(~there_BWK, -torch.inf)
        child_BWK = self._below(trie)[item_BWK, depth] - (trie.child_offsets[nodes_BW][..., None] + 1)
        # a dead beam's node has another depth, so its children's numbers are out of range
        child_BWK = child_BWK.masked_fill(~there_BWK, 0).clamp(0, trie.max_children[depth] - 1)
        if trie.trained is None:
            return _mass_of_children(logits_BWK, child_BWK, trie.max_children[depth])
        # the mass of a child is that of its trained items, or of all where it has none
        trained_BWC = self.trained_children(trie.children(nodes_BW, trie.max_children[depth]))
        assert trained_BWC is not None
        added_BWK = (item_BWK >= trie.trained) & trained_BWC.gather(-1, child_BWK)
        logits_BWK = logits_BWK.masked_fill(added_BWK, -torch.inf)
        return log_shares(_mass_of_children(logits_BWK, child_BWK, trie.max_children[depth]), trained_BWC)

    def _below(self, trie: Trie) -> Tensor:
        """Return each item's node per depth: column d is the child entered from depth d."""
        if self._path_IS is None or self._path_IS.device != trie.device:
            self._path_IS = trie.ancestors().clamp(min=0)
        return self._path_IS

    def _penalty(self) -> Tensor:
        assert self.repeat is not None
        return 10 * functional.softplus(self.repeat)  # times ten, so that it changes as fast as the logits

    def _penalised(self, logits_RI: Tensor, seen_RH: Tensor) -> Tensor:
        if self.repeat is None:
            return logits_RI
        seen_RI = torch.zeros_like(logits_RI).scatter_add(1, seen_RH.clamp(min=0), (seen_RH >= 0).to(logits_RI.dtype))
        return logits_RI - seen_RI.clamp(max=1) * self._penalty()

    def _penalised_entries(self, logit_E: Tensor, item_E: Tensor, seen_RH: Tensor, row_E: Tensor) -> Tensor:
        if self.repeat is None:
            return logit_E
        return logit_E - (seen_RH[row_E] == item_E[:, None]).any(1) * self._penalty()


def _mass_of_children(logits_BWK: Tensor, child_BWK: Tensor, children: int) -> Tensor:
    """Return the log-probabilities (B, W, C) of children from the logits of the items below a node, −inf for none.

    It is a log-sum-exp per child. The peaks only prevent overflow and cancel out, so no gradient passes through them.
    """
    detached = logits_BWK.detach()
    lowest = detached.new_full((*detached.shape[:-1], children), -1e30)
    peak_BWC = lowest.scatter_reduce(-1, child_BWK, detached, "amax")
    mass_BWC = torch.zeros_like(lowest).scatter_add(-1, child_BWK, (logits_BWK - peak_BWC.gather(-1, child_BWK)).exp())
    absent_BWC = mass_BWC == 0
    logp_BWC = mass_BWC.masked_fill(absent_BWC, 1).log() + peak_BWC  # log(0) would make gradients NaN
    highest = detached.amax(-1, keepdim=True).clamp(min=-1e30)
    total_BW1 = (logits_BWK - highest).exp().sum(-1, keepdim=True).log() + highest
    return (logp_BWC - total_BW1).masked_fill(absent_BWC, -torch.inf)


def _among(item_BK: Tensor, seen_BH: Tensor, n_items: int) -> Tensor:
    """Return whether each item occurs in its row's history: bool (B, K)."""
    if n_items <= item_BK.shape[1]:  # a table of all items is smaller than what is looked up in it
        padded = torch.zeros(len(item_BK), n_items + 1, dtype=torch.bool, device=item_BK.device)
        return padded.scatter(1, torch.where(seen_BH < 0, n_items, seen_BH), True).gather(1, item_BK)
    # binary search instead of comparing all pairs
    seen, _ = seen_BH.sort(dim=1)
    index = torch.searchsorted(seen, item_BK).clamp(max=max(seen.shape[1] - 1, 0))
    return seen.gather(1, index) == item_BK if seen.shape[1] else torch.zeros_like(item_BK, dtype=torch.bool)


def _levels(trie: Trie) -> list[tuple[int, int]]:
    return [(trie.level_offsets[depth], trie.level_offsets[depth + 1]) for depth in range(trie.longest)]

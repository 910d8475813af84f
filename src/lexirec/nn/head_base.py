"""Base of all heads: interface, settings, trie access, and likelihoods over ragged lists of children.

Shapes: `R` rows, `S` steps, `B` batch, `W` width, `C` children, `V` rows of a table, `N` nodes, `D` features,
`E` entries of a ragged list, `H` history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from lexirec.core.config import Settings
from lexirec.decoding.trie import Trie
from lexirec.nn.ragged_sums import segment_logsumexp as segment_logsumexp
from lexirec.nn.ragged_sums import spread as spread
from lexirec.nn.sampled_rows import SAMPLED_ABOVE, Sample

_GATHER_COST = 32
"""Gathering one row costs about as much as this many rows of a matrix product (an estimate from memory bandwidth and
matrix rate of a CPU; it decides between two ways to the same numbers)."""

_PADDING_COST = 4
"""A product per node is worth its padding up to so many times the beams: dead beams may all stand at one node."""


@dataclass
class Rows:
    """Tensors that a head computes once per forward pass.

    Attributes:
        table_VD: the rows that score children: of the trie's tokens, of nodes or of items.
        nodes_ND: the rows that embed entered nodes (grounded heads).
        vocabulary_VD: the whole output layer (vocabulary head and likelihood).
        packed: the output layer packed for searching (`cpu_kernels.pack_blocks`).
        words_VD: the input embeddings where one pass looks them up several times (`cpu_kernels.shared_gradient`).
        sample: the items and nodes that `table_VD` and `nodes_ND` hold, where they are those of a batch alone.
    """

    table_VD: Tensor
    nodes_ND: Tensor | None = None
    vocabulary_VD: Tensor | None = None
    packed: tuple[Tensor, ...] = ()
    words_VD: Tensor | None = None
    sample: Sample | None = None

    def node_rows(self, nodes: Tensor) -> Tensor:
        """Return the rows (…, D) that embed nodes (…,)."""
        assert self.nodes_ND is not None
        return self.nodes_ND[nodes if self.sample is None else self.sample.of_nodes(nodes)]


class Head(Protocol):
    """Interface of heads: scores the children of trie nodes and embeds entered nodes."""

    def rows(self) -> Rows:
        """Compute the tensors that depend on weights alone."""

    def rows_of(self, nodes: Tensor, *, whole: bool = False) -> Rows:
        """Compute what a batch needs that embeds and scores these nodes alone; all rows where `whole` is set."""

    def embed(self, rows: Rows, nodes: Tensor) -> Tensor:
        """Return the decoder's input embeddings (…, D) of entered nodes (…,)."""

    def loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of target paths (node numbers, −1 beyond the leaf)."""

    def score_children(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of nodes of one depth, for searching."""

    def score_legal(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, W, C) normalised over the children whatever the likelihood; differentiable."""

    def steps(self, path_RS: Tensor) -> int:
        """Return the number of leading steps of these paths that contribute to the loss."""


def wide(values: Tensor) -> Tensor:
    """Cast to at least float32: logits are compared and summed in it, whatever type the weights have."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class TrieHolder(nn.Module):
    """Base class of heads: a module that moves its trie to the device of its inputs."""

    def __init__(self, trie: Trie) -> None:
        """Keep a trie, on any device."""
        super().__init__()
        self._trie = trie
        self._branches: Tensor | None = None

    def trie_on(self, device: torch.device) -> Trie:
        """Return the trie on a device; it is moved once."""
        if self._trie.device != device:
            self._trie = self._trie.to(device)
            self._branches = None
        return self._trie

    def rows(self) -> Rows:
        """Compute the tensors that depend on weights alone."""
        raise NotImplementedError

    def rows_of(self, nodes: Tensor, *, whole: bool = False) -> Rows:
        """Compute what a batch needs that embeds and scores these nodes alone: all rows, unless a head can do less."""
        return self.rows()

    def trained_children(self, children_BWC: Tensor) -> Tensor | None:
        """Return which children have trained items below them (B, W, C); None where all items are trained."""
        trie = self.trie_on(children_BWC.device)
        return None if trie.trained is None else trie.with_trained[children_BWC.clamp(min=0)] & (children_BWC >= 0)

    def branches(self, device: torch.device) -> Tensor:
        """Return, per node, whether it has two children or more: bool (N,)."""
        trie = self.trie_on(device)
        if self._branches is None:
            self._branches = trie.child_offsets.diff() > 1
        return self._branches

    def steps(self, path_RS: Tensor) -> int:
        """Return the steps up to the last branch: after it a path is certain and needs no decoder step."""
        parents_RS = parents_of(path_RS)
        branching_S = (self.branches(path_RS.device)[parents_RS] & (path_RS >= 0)).any(0)
        return max(1, int(branching_S.nonzero().max()) + 1) if bool(branching_S.any()) else 1


def children_loss(
    trie: Trie, branches_N: Tensor, hidden_RSD: Tensor, path_RS: Tensor, table_VD: Tensor, row_of_N: Tensor
) -> Tensor:
    """Return the cross-entropy among siblings where a path branches: summed over a path, mean over rows.

    Nodes differ widely in their number of children, so the children of all rows form one ragged list per step, without
    padding. `row_of_N` maps a node to its row of the table.
    """
    total = hidden_RSD.new_zeros(len(path_RS), dtype=torch.promote_types(hidden_RSD.dtype, torch.float32))
    for step in range(hidden_RSD.shape[1]):
        above_R = parents_of(path_RS)[:, step]
        open_R = ((path_RS[:, step] >= 0) & branches_N[above_R]).nonzero().squeeze(1)
        above, below, hidden = above_R[open_R], path_RS[open_R, step], hidden_RSD[open_R, step]
        if step == 0:  # all rows are at the root: one matrix product with its children, nodes 1, 2, …
            logits = wide(hidden @ table_VD[row_of_N[1 : 1 + trie.max_children[0]]].T)
            total = total.index_add(0, open_R, functional.cross_entropy(logits, below - 1, reduction="none"))
            continue
        # −log p(target) = log Σ exp(children) − target, over the children of each row's own node
        row_E, edge_E = spread(trie.child_offsets[above], trie.child_offsets[above + 1])
        logit_E = wide(hidden[row_E] * table_VD[row_of_N[edge_E + 1]]).sum(-1)
        mass = segment_logsumexp(logit_E, row_E, len(open_R))
        target = wide(hidden * table_VD[row_of_N[below]]).sum(-1)
        total = total.index_add(0, open_R, mass - target)
    return total.mean()


def parents_of(path_RS: Tensor) -> Tensor:
    """Return the node that each step of a path starts from (R, S); the root first."""
    return torch.cat([torch.zeros_like(path_RS[:, :1]), path_RS[:, :-1].clamp(min=0)], dim=1)


def products(queries_BWD: Tensor, table_VD: Tensor, index_BWC: Tensor, nodes_BW: Tensor | None = None) -> Tensor:
    """Return the products (B, W, C) of queries with chosen rows, by the way that moves least memory.

    With `nodes_BW`, beams at one node choose the same rows, so that each node's rows are read once for all its beams.
    """
    if nodes_BW is not None and len(nodes_BW) > 1 and nodes_BW.device.type == "cpu":  # a row's own beams are distinct
        found = _products_by_node(queries_BWD, table_VD, index_BWC, nodes_BW)
        if found is not None:
            return found
    if len(table_VD) <= _GATHER_COST * index_BWC.shape[-1]:
        return wide((queries_BWD @ table_VD.T).gather(-1, index_BWC))
    return wide((table_VD[index_BWC] @ queries_BWD.unsqueeze(-1)).squeeze(-1))


def _products_by_node(queries_BWD: Tensor, table_VD: Tensor, index_BWC: Tensor, nodes_BW: Tensor) -> Tensor | None:
    """Return `products` as one product per node (U nodes, at most R beams each); None where padding would cost more."""
    queries_RD, index_RC = queries_BWD.flatten(0, 1), index_BWC.flatten(0, 1)
    nodes_U, node_R, count_U = torch.unique(nodes_BW.flatten(), return_inverse=True, return_counts=True)
    most = int(count_U.max())
    if len(nodes_U) * most > _PADDING_COST * len(node_R):
        return None
    order_R = node_R.argsort(stable=True)
    first_U = count_U.cumsum(0) - count_U
    place_R = torch.empty_like(node_R)
    place_R[order_R] = torch.arange(len(node_R)) - first_U[node_R[order_R]]  # a beam's place among those of its node
    padded_UMD = queries_RD.new_zeros(len(nodes_U), most, queries_RD.shape[1])
    padded_UMD = padded_UMD.index_put((node_R, place_R), queries_RD)
    chosen_UCD = table_VD[index_RC[order_R[first_U]]]
    products_UMC = padded_UMD @ chosen_UCD.transpose(1, 2)
    return wide(products_UMC[node_R, place_R].view(index_BWC.shape))


def log_shares(logits_NC: Tensor, trained_NC: Tensor | None = None) -> Tensor:
    """Return log-probabilities (…, C) of children from their logits, −inf for what is no child; for searching.

    With `trained_NC` (…, C), children without trained items below take nothing from the others: trained children share
    the whole probability, and any other child gets what it would get if it alone stood beside them. Adding an item
    thus changes the probability of no other one. Where no child is trained, all of them share.
    """
    plain = logits_NC.log_softmax(-1)
    if trained_NC is None:
        return plain
    mass = logits_NC.masked_fill(~trained_NC, -torch.inf).logsumexp(-1, keepdim=True)
    beside = torch.where(trained_NC, mass, torch.logaddexp(mass, logits_NC))
    return torch.where(trained_NC.any(-1, keepdim=True), logits_NC - beside, plain)


# -------------------------------------------------------------------------------------------------------- head settings


class HeadSettings(Settings):
    """Settings of the head, shared by both model families: how trie children are scored."""

    likelihood: Literal["catalog", "vocabulary"] = "catalog"
    """Set over which the probabilities of a step sum to one: the legal children of the trie node, or the whole
    vocabulary (GRAM's and MiniOneRec's)."""
    head: Literal["vocabulary", "grounded"] = "vocabulary"
    """Rows that score a child: of the backbone's output layer (GRAM's and MiniOneRec's), or built from the items below
    the child."""
    pooling: Literal["mean", "mass"] = "mass"
    """How a grounded head scores a node: by the mean of its items' rows, or by the sum of its items' probabilities."""
    cosine: bool = True
    """Let a grounded head score by cosine similarity, with a learned temperature."""
    temperature: float = Field(default=0.07, gt=0)
    """Initial temperature."""
    no_repeat: bool = True
    """Let a grounded head with pooling mass learn a penalty on items of the history."""
    refine: bool = True
    """Let the later steps of a grounded head refine the query of the first one, by a learned share that starts at zero,
    instead of computing queries of their own. Training then starts as one softmax over all items, factorised along the
    tree, and the root learns from every target which items, not only which cells, are wanted."""
    neighbor_features: int = Field(default=10, ge=0)
    """Neighbours whose mean vector joins an item's features (grounded only)."""
    neighbor_rows: int = Field(default=0, ge=0)
    """Neighbours whose rows are mixed into an item's row, weighted by their scores (grounded only)."""

    @property
    def grounded(self) -> bool:
        """Whether the head needs item rows."""
        return self.head == "grounded"

    @property
    def flat(self) -> bool:
        """Whether the root has a distribution over items, as distillation needs."""
        return self.grounded and self.pooling == "mass"

    def training_card(self, n_items: int) -> dict[str, str]:
        """Return what the protocol card says where a large catalogue was trained on samples."""
        if not self.flat or n_items <= SAMPLED_ABOVE:
            return {}
        return {"trained_with": "sampled softmax with logQ correction, except where soft targets are distilled"}

    @model_validator(mode="after")
    def _rows_are_of_nodes(self) -> Self:
        if self.head == "grounded" and self.likelihood == "vocabulary":
            raise ValueError('head "grounded" scores nodes, not the vocabulary; it needs likelihood "catalog"')
        return self

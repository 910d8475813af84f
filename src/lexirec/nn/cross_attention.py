"""Late-fusion cross-attention: the decoder attends to prompts that were encoded separately (GRAM).

Two layouts of the same attention. `FusedPrompts` (training) packs all prefixes of a user's history: each item prompt is
stored once, and each query row (a prefix) sees it at its own position. `FlatPrompts` (search) holds one query row whose
prompts are concatenated. A position vector p is added to encoder outputs h, and keys and values are linear, so
K(h + p) = K(h) + K(p): packing is exact (spec section 11.1; GRAM encodes every item again for every prefix).

Shapes: `B` batch, `Q` query rows of a batch row, `S` steps (or beams) of a query row, `M` blocks (item prompts),
`L` tokens of a block, `T` tokens in all, `D` features, `H` heads, `K` features of a head, `N` positions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.nn.cpu_kernels import byte_dropout

HIDDEN = -1
"""Position of a block that is invisible to a query row."""


class Readable(Protocol):
    """Prompts that decoder layers attend to."""

    def attend(self, layer: int, attention: Any, hidden_BQSD: Tensor) -> Tensor:
        """Return the context (B, Q, S, D) of one layer's cross-attention (a stock T5Attention)."""
        ...


class FusedPrompts:
    """Item prompts shared by the query rows of a batch row, each with positions and one prompt of its own."""

    def __init__(
        self,
        blocks: tuple[Tensor, Tensor],
        slots_BQM: Tensor,
        positions_ND: Tensor,
        own: tuple[Tensor, Tensor] | None = None,
        left_out_BQML: Tensor | None = None,
    ) -> None:
        """Collect the prompts of a batch.

        Args:
            blocks: states (B, M, L, D) and mask, bool (B, M, L), of the item prompts.
            slots_BQM: position (row of the table) of each block for each query row; `HIDDEN` where it is invisible.
            positions_ND: the position table P.
            own: states (B, Q, L', D) and mask (B, Q, L') of a prompt of a single query row (the user prompt), with its
                position vector already added.
            left_out_BQML: tokens hidden from a query row that sees their block; None hides none.
        """
        self._states_BMLD, self._mask_BML = blocks
        self._slots_BQM, self._positions_ND, self._own = slots_BQM, positions_ND, own
        seen_BQM = slots_BQM > HIDDEN
        self._visible_BQML = seen_BQM[..., None] & self._mask_BML[:, None]
        if left_out_BQML is not None:
            self._visible_BQML = self._visible_BQML & ~left_out_BQML

    def flat(self) -> FlatPrompts:
        """Concatenate the prompts of a batch with one query row each (Q = 1), position vectors added."""
        slots_BM = self._slots_BQM[:, 0].clamp(min=0)
        states_BTD = (self._states_BMLD + self._positions_ND[slots_BM][:, :, None]).flatten(1, 2)
        mask_BT = self._visible_BQML[:, 0].flatten(1)
        if self._own is not None:
            states_BTD = torch.cat([self._own[0][:, 0], states_BTD], dim=1)
            mask_BT = torch.cat([self._own[1][:, 0], mask_BT], dim=1)
        return FlatPrompts(states_BTD, mask_BT)

    def attend(self, layer: int, attention: Any, hidden_BQSD: Tensor) -> Tensor:
        """Return the context (B, Q, S, D) of one layer's cross-attention."""
        rows, steps = hidden_BQSD.shape[1:3]
        blocks, tokens = self._mask_BML.shape[1:]
        query_BHSK = _heads(attention.q(hidden_BQSD.flatten(1, 2)), attention)
        query_BHQSK = query_BHSK.view(*query_BHSK.shape[:2], rows, steps, -1)
        key_BHTK = _heads(attention.k(self._states_BMLD.flatten(1, 2)), attention)
        value_BHTK = _heads(attention.v(self._states_BMLD.flatten(1, 2)), attention)
        key_HNK, value_HNK = (
            _heads(part(self._positions_ND)[None], attention)[0] for part in (attention.k, attention.v)
        )
        # q · K(h + p) = q · K(h) + q · K(p): score content once per token and position once per block, then add
        slots_BHQSM = self._slots_BQM.clamp(min=0)[:, None, :, None].expand(-1, query_BHQSK.shape[1], -1, steps, -1)
        by_position = torch.einsum("bhqsk,hnk->bhqsn", query_BHQSK, key_HNK).gather(4, slots_BHQSM)
        scores = (query_BHQSK.flatten(2, 3) @ key_BHTK.mT).view(*by_position.shape, tokens)
        scores += by_position[..., None]  # in place, as the mask below: these are the largest tensors of a step
        scores = _hide(scores, self._visible_BQML[:, None, :, None]).flatten(4)
        if self._own is not None:
            scores = torch.cat([scores, self._own_scores(attention, query_BHQSK)], dim=-1)
        weights = byte_dropout(scores.softmax(-1), attention.dropout, attention.training)
        # values are linear, too: content by a product over tokens, positions by the weight that each slot received
        shared = weights[..., : blocks * tokens]
        context = (shared.flatten(2, 3) @ value_BHTK).view_as(query_BHQSK)
        per_block_BHQSM = shared.view(*shared.shape[:4], blocks, tokens).sum(-1)
        per_slot = per_block_BHQSM.new_zeros(*per_block_BHQSM.shape[:4], len(self._positions_ND))
        per_slot = per_slot.scatter_add(4, slots_BHQSM, per_block_BHQSM)
        context = context + torch.einsum("bhqsn,hnk->bhqsk", per_slot, value_HNK)
        if self._own is not None:
            value_BQHLK = _own_heads(attention.v(self._own[0]), attention)
            context = context + torch.einsum("bhqsl,bqhlk->bhqsk", weights[..., blocks * tokens :], value_BQHLK)
        out: Tensor = attention.o(context.permute(0, 2, 3, 1, 4).flatten(3))
        return out

    def _own_scores(self, attention: Any, query_BHQSK: Tensor) -> Tensor:
        assert self._own is not None
        states_BQLD, mask_BQL = self._own
        scores = torch.einsum("bhqsk,bqhlk->bhqsl", query_BHQSK, _own_heads(attention.k(states_BQLD), attention))
        return _hide(scores, mask_BQL[:, None, :, None])


class _LayerKeys(NamedTuple):
    key_BHTK: Tensor
    value_BHTK: Tensor


class FlatPrompts:
    """The concatenated prompts of one query row; all its beams share keys and values, which are computed once."""

    def __init__(self, states_BTD: Tensor, mask_BT: Tensor) -> None:
        """Keep states with position vectors added, and the mask of real tokens."""
        # a user without any prompt attends to zeros: a softmax over nothing is NaN, and over padding it would depend on
        # the other users of the batch
        states_BTD, mask_BT = _gathered(states_BTD, mask_BT)
        nothing_B1 = ~mask_BT.any(1, keepdim=True)
        self.states_BTD, self.mask_BT = states_BTD.masked_fill(nothing_B1[..., None], 0), mask_BT
        self._mask_B11T = (mask_BT | nothing_B1)[:, None, None]
        self._keys: dict[int, _LayerKeys] = {}

    def attend(self, layer: int, attention: Any, hidden_BQSD: Tensor) -> Tensor:
        """Return the context (B, 1, S, D) of one layer's cross-attention."""
        keys = self._layer_keys(layer, attention)
        context_BHSK = functional.scaled_dot_product_attention(
            _heads(attention.q(hidden_BQSD.squeeze(1)), attention),
            keys.key_BHTK,
            keys.value_BHTK,
            attn_mask=self._mask_B11T,
            dropout_p=attention.dropout if attention.training else 0.0,
            scale=1.0,
        )
        out: Tensor = attention.o(context_BHSK.transpose(1, 2).flatten(2)).unsqueeze(1)
        return out

    def _layer_keys(self, layer: int, attention: Any) -> _LayerKeys:
        if attention.training:  # weights change between calls
            return _LayerKeys(*(_heads(part(self.states_BTD), attention) for part in (attention.k, attention.v)))
        if layer not in self._keys:
            self._keys[layer] = _LayerKeys(
                *(_heads(part(self.states_BTD), attention) for part in (attention.k, attention.v))
            )
        return self._keys[layer]


def _gathered(states_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Move real tokens to the front and cut the padding between prompts, which attention may read in any order.

    On CPUs only: reading the length would synchronise a device.
    """
    if mask_BT.device.type != "cpu":
        return states_BTD, mask_BT
    longest = max(1, int(mask_BT.sum(1).max())) if mask_BT.numel() else mask_BT.shape[1]
    if longest == mask_BT.shape[1]:
        return states_BTD, mask_BT
    order_BT = mask_BT.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :longest]
    rows_B1 = torch.arange(len(mask_BT)).unsqueeze(1)
    return states_BTD[rows_B1, order_BT], mask_BT[rows_B1, order_BT]


def _hide(scores: Tensor, visible: Tensor) -> Tensor:
    """Mask with the type's least finite number: a query row that sees nothing (padding) keeps finite gradients."""
    return scores.masked_fill_(~visible, torch.finfo(scores.dtype).min)


def _heads(states_BTD: Tensor, attention: Any) -> Tensor:
    """Split features into heads: (B, T, H·K) -> (B, H, T, K)."""
    return states_BTD.view(*states_BTD.shape[:-1], int(attention.n_heads), attention.key_value_proj_dim).transpose(1, 2)


def _own_heads(states_BQLD: Tensor, attention: Any) -> Tensor:
    """Split features into heads: (B, Q, L, H·K) -> (B, Q, H, L, K)."""
    return states_BQLD.view(*states_BQLD.shape[:-1], int(attention.n_heads), attention.key_value_proj_dim).transpose(
        2, 3
    )

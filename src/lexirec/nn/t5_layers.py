"""T5 forward passes with other attention patterns: late fusion, beam caches, token trees, causal encoding.

The layers and weights of the stock T5 are used unchanged; only what attends to what differs. Decoder layers attend to
fused prompts (`cross_attention`), beams keep their own keys and values, all tokens that may follow can be decoded in
one pass (tree attention), and the encoder can run causally or in groups of similar length.

Shapes: `B` batch, `Q` query rows, `S` steps, `W` width, `L` tokens, `D` features, `H` heads, `K` features of a head,
`R` rows, `G` rows of a group, `T` tokens of a tree, `J` levels of it, `P` positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.nn.cpu_kernels import look_up
from lexirec.nn.cross_attention import Readable

_GROUP = 4
"""Least rows of a group that gets an encoder pass of its own."""
_GROUPS = 8
"""Most groups of a batch."""
_FULL = 0.9
"""Share of real tokens above which a batch is encoded in one pass."""

SelfAttend = Callable[[int, Any, Tensor], Tensor]


def decode(stack: Any, inputs_BQSD: Tensor, prompts: Readable) -> Tensor:
    """Run the decoder with teacher forcing: step `s` of a query row attends to its steps up to `s` and to the prompts.

    Args:
        stack: the decoder of a T5ForConditionalGeneration.
        inputs_BQSD: embeddings of the start token and the target's tokens.
        prompts: keys and values of cross-attention.

    Returns:
        Hidden states (B, Q, S, D) after the final norm and dropout.
    """
    bias_1HSS = _causal(position_bias(stack, inputs_BQSD.shape[2]))

    def self_attend(layer: int, attention: Any, hidden_BQSD: Tensor) -> Tensor:
        return _attend(attention, hidden_BQSD.flatten(0, 1), bias_1HSS).view_as(hidden_BQSD)

    return _run(stack, inputs_BQSD, self_attend, prompts)


class TokenTree(NamedTuple):
    """All tokens that may follow the beams of a step, in any order.

    Attributes:
        parents_BT: the beam of the previous step that each token's path starts from.
        levels_BT: number of the path's tokens between beam and token.
        above_BTJ: flat indices (of B · T) of the path's tokens, from the beam downwards; the token's own index at its
            level and beyond.
    """

    parents_BT: Tensor
    levels_BT: Tensor
    above_BTJ: Tensor


class BeamSteps:
    """Incremental decoding of beams: caches the decoder's self-attention keys and values per beam."""

    def __init__(self, stack: Any) -> None:
        """Start with an empty cache for the decoder `stack`."""
        self._stack = stack
        self._past: list[tuple[Tensor, Tensor]] = []

    def advance(self, inputs_BWD: Tensor, prompts: Readable, parents_BW: Tensor | None) -> Tensor:
        """Run one step for every beam.

        Args:
            inputs_BWD: embedding of each beam's newest token.
            prompts: keys and values of cross-attention, shared by the beams of a row.
            parents_BW: the beam of the previous step that each beam extends; None at the first step.

        Returns:
            Hidden states (B, W, D).
        """
        past, self._past = self._past, []
        length = 1 if parents_BW is None else past[0][0].shape[2] + 1
        bias_1H1S = position_bias(self._stack, length)[:, :, -1:]
        chosen = None if parents_BW is None else _rows_of_parents(parents_BW, len(past[0][0]))

        def self_attend(layer: int, attention: Any, hidden_B1WD: Tensor) -> Tensor:
            query, key, value = _one_step(attention, hidden_B1WD)
            if chosen is not None:  # beams are reordered and copied at every step, and their caches with them
                key, value = (
                    torch.cat([old.index_select(0, chosen), new], dim=2)
                    for old, new in zip(past[layer], (key, value), strict=True)
                )
            self._past.append((key, value))
            return _attend_rows(attention, query, key, value, bias_1H1S).view_as(hidden_B1WD)

        return _run(self._stack, inputs_BWD.unsqueeze(1), self_attend, prompts).squeeze(1)

    def finish(self, inputs_BTD: Tensor, prompts: Readable, tree: TokenTree) -> Tensor:
        """Run all tokens that may still follow in one pass, each attending to its own path; no step can come after.

        Returns:
            Hidden states (B, T, D).
        """
        bias_BHTS = self._see_paths(tree)

        def self_attend(layer: int, attention: Any, hidden_B1TD: Tensor) -> Tensor:
            batch, _, tokens, _ = hidden_B1TD.shape
            heads, size = attention.n_heads, attention.key_value_proj_dim
            query, *new = (
                part(hidden_B1TD).view(batch, tokens, heads, size).transpose(1, 2)
                for part in (attention.q, attention.k, attention.v)
            )
            # (B · W, H, S, K) per beam -> (B, H, W · S, K) per row: every token can address every beam's steps
            key, value = (
                torch.cat([past.view(batch, -1, *past.shape[1:]).transpose(1, 2).flatten(2, 3), one], dim=2)
                for past, one in zip(self._past[layer], new, strict=True)
            )
            context = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias_BHTS, scale=1.0)
            out: Tensor = attention.o(context.transpose(1, 2).flatten(2))
            return out.unsqueeze(1)

        return _run(self._stack, inputs_BTD.unsqueeze(1), self_attend, prompts).squeeze(1)

    def _see_paths(self, tree: TokenTree) -> Tensor:
        """Return the attention bias (B, H, T, S): T5's by distance on a token's beam and path, −inf elsewhere.

        The S keys are the steps of all beams, then the tokens. One dense product over all of them takes less time than
        gathering keys for every token.
        """
        batch, tokens, levels = tree.above_BTJ.shape
        rows, _, before, _ = self._past[0][0].shape
        beam_S = torch.arange(rows // batch, device=tree.levels_BT.device).repeat_interleave(before)
        own_BTS = tree.parents_BT.unsqueeze(2) == beam_S
        first_B11 = torch.arange(batch, device=beam_S.device)[:, None, None] * tokens
        # indices are flat over the batch; minus the row's first they mark a token's ancestors among its row's tokens
        above_BTT = torch.zeros(batch, tokens, tokens, dtype=torch.bool, device=beam_S.device)
        above_BTT.scatter_(2, tree.above_BTJ - first_B11, True)
        visible_BTS = torch.cat([own_BTS, above_BTT], dim=2)
        # position = depth in the identifier, not column: siblings share it, as they would one step after the other
        step_S = torch.arange(before, device=beam_S.device).repeat(rows // batch)
        positions_BS = torch.cat([step_S.expand(batch, -1), before + tree.levels_BT], dim=1)
        bias_HPP = position_bias(self._stack, before + levels)[0]
        bias_HBTS = bias_HPP[:, positions_BS[:, -tokens:].unsqueeze(2), positions_BS.unsqueeze(1)]
        return bias_HBTS.transpose(0, 1).masked_fill(~visible_BTS.unsqueeze(1), -torch.inf)


def encode_causally(stack: Any, inputs_BLD: Tensor) -> Tensor:
    """Run the encoder with a causal mask: one pass encodes all prefixes of a sequence.

    Returns:
        Hidden states (B, L, D) after the final norm and dropout.
    """
    bias_1HLL = _causal(position_bias(stack, inputs_BLD.shape[1]))
    hidden_BLD = stack.dropout(inputs_BLD)
    for block in stack.block:
        own, feed_forward = block.layer
        hidden_BLD = hidden_BLD + own.dropout(_attend(own.SelfAttention, own.layer_norm(hidden_BLD), bias_1HLL))
        hidden_BLD = feed_forward(hidden_BLD)
    out: Tensor = stack.dropout(stack.final_layer_norm(hidden_BLD))
    return out


def encode_by_length(stack: Any, ids_RL: Tensor, mask_RL: Tensor, words_VD: Tensor | None = None) -> Tensor:
    """Run the encoder over rows in groups of similar length, so that little padding is computed.

    Args:
        stack: the encoder of a T5ForConditionalGeneration.
        ids_RL: token ids, padded on the right.
        mask_RL: which of them are real.
        words_VD: the stack's embedding table (`cpu_kernels.shared_gradient`), where other look-ups share it.

    Returns:
        States (R, L, D), zeros beyond the longest row of a group.
    """
    # one look-up for all groups: each backward of a look-up costs a tensor of the vocabulary's size
    embedded_RLD = stack.embed_tokens(ids_RL) if words_VD is None else look_up(words_VD, ids_RL)

    def run(embedded_GLD: Tensor, mask_GL: Tensor) -> Tensor:
        states: Tensor = stack(inputs_embeds=embedded_GLD, attention_mask=mask_GL).last_hidden_state
        return states

    return in_groups(embedded_RLD, mask_RL, run)


def in_groups(inputs: Tensor, mask_RL: Tensor, run: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Run an encoder over rows in groups of similar length.

    Args:
        inputs: (R, L) or (R, L, D), padded on the right.
        mask_RL: which tokens are real.
        run: from inputs of a group and its mask, int64 (G, L), to states (G, L, D).

    Returns:
        States (R, L, D), zeros beyond the longest row of a group.
    """
    rows, longest = mask_RL.shape
    groups = min(_GROUPS, rows // _GROUP)
    lengths_R, order_R = mask_RL.sum(1).sort(stable=True)
    if groups < 2 or lengths_R.sum() > _FULL * rows * longest:
        return run(inputs, mask_RL.long())
    parts: list[Tensor] = []
    for chosen_G, lengths_G in zip(order_R.tensor_split(groups), lengths_R.tensor_split(groups)):
        width = max(1, int(lengths_G[-1]))
        states_GLD = run(inputs[chosen_G, :width], mask_RL[chosen_G, :width].long())
        parts.append(functional.pad(states_GLD, (0, 0, 0, longest - width)))
    return torch.cat(parts)[order_R.argsort()]


def position_bias(stack: Any, length: int) -> Tensor:
    """Return the relative position bias (1, H, L, L), which T5's first layer computes for all layers."""
    bias: Tensor = stack.block[0].layer[0].SelfAttention.compute_bias(length, length)
    return bias


def _run(stack: Any, hidden_BQSD: Tensor, self_attend: SelfAttend, prompts: Readable) -> Tensor:
    """Run all decoder layers as T5's own forward pass does, with the given self- and cross-attention."""
    hidden_BQSD = stack.dropout(hidden_BQSD)
    for number, block in enumerate(stack.block):
        own, cross, feed_forward = block.layer
        attended = self_attend(number, own.SelfAttention, own.layer_norm(hidden_BQSD))
        hidden_BQSD = hidden_BQSD + own.dropout(attended)
        read = prompts.attend(number, cross.EncDecAttention, cross.layer_norm(hidden_BQSD))
        hidden_BQSD = feed_forward(hidden_BQSD + cross.dropout(read))
    out: Tensor = stack.dropout(stack.final_layer_norm(hidden_BQSD))
    return out


def _attend(attention: Any, hidden_BLD: Tensor, bias_1HLL: Tensor) -> Tensor:
    query, key, value = (
        part(hidden_BLD).unflatten(-1, (attention.n_heads, -1)).transpose(1, 2)
        for part in (attention.q, attention.k, attention.v)
    )
    dropout = attention.dropout if attention.training else 0.0
    context = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias_1HLL.to(query.dtype), dropout_p=dropout, scale=1.0
    )
    out: Tensor = attention.o(context.transpose(1, 2).flatten(2))
    return out


def _one_step(attention: Any, hidden_B1WD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values of one token per row: (B · W, H, 1, K) each."""
    query, key, value = (
        part(hidden_B1WD).view(-1, attention.n_heads, 1, attention.key_value_proj_dim)
        for part in (attention.q, attention.k, attention.v)
    )
    return query, key, value


def _attend_rows(attention: Any, query_RH1K: Tensor, key_RHSK: Tensor, value_RHSK: Tensor, bias: Tensor) -> Tensor:
    """Attend with one query per row to the row's own steps: (R, D)."""
    context = functional.scaled_dot_product_attention(query_RH1K, key_RHSK, value_RHSK, attn_mask=bias, scale=1.0)
    out: Tensor = attention.o(context.flatten(1))
    return out


def _causal(bias_1HLL: Tensor) -> Tensor:
    length = bias_1HLL.shape[-1]
    later = torch.ones(length, length, dtype=torch.bool, device=bias_1HLL.device).triu(1)
    return bias_1HLL.masked_fill(later, -torch.inf)


def _rows_of_parents(parents_BW: Tensor, before: int) -> Tensor:
    """Return the index of each beam's parent among the `before` = B · W' beams of the previous step: (B · W,)."""
    width = before // len(parents_BW)
    first_B1 = torch.arange(len(parents_BW), device=parents_BW.device).unsqueeze(1) * width
    return (first_B1 + parents_BW).flatten()

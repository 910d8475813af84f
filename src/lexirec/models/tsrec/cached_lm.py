"""A stock causal language model with a key-value cache: prompts are read once, trees of tokens grow behind them.

The cache holds each prompt once. Beams of a search and completions of a group are entered side by side behind it with
a mask and positions of their own (`tree_attention`), so nothing is copied per beam.

Legend: `R` rows, `B` batch, `L` tokens, `D` features, `S` steps, `W` beams, `G` completions, `T` steps entered,
`K` tokens of a prompt and its completions, `C` children, `H` history, `E` edges of the trie.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from lexirec.core.errors import DataError, SettingsError
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.models.tsrec.tree_attention import Prefix, additive, check_padding, side_by_side
from lexirec.nn.backbone_fit import embedding_scale
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.head_base import Rows
from lexirec.nn.pretrained import SharedWeights
from lexirec.nn.vocabulary_head import make_head

ATTENTION = ("sdpa", "eager")
"""Attention implementations that accept a custom mask."""


class CachedLM(SharedWeights):
    """A stock causal language model used without its language head, and a head that scores children of trie nodes."""

    def __init__(
        self, backbone: Any, settings: TSRecNetworkSettings, trie: Trie, items: ItemRows | None = None
    ) -> None:
        """Combine a language model and a catalogue's trie.

        Args:
            backbone: a stock causal language model (Qwen2, Qwen3, Llama …) with its language head.
            settings: of head and embeddings.
            trie: of all identifiers, in tokens of the backbone.
            items: the items' rows, as wide as the backbone, for a grounded head.

        Raises:
            SettingsError: the backbone accepts no custom masks or positions.
        """
        super().__init__()
        _check_backbone(backbone)
        self.backbone, self.settings, self.items = backbone, settings, items
        self.head = make_head(backbone, trie, items, settings)
        refines = settings.refine and settings.head == "grounded"
        self.share = nn.Parameter(torch.zeros(())) if refines else None
        if settings.embeddings == "grounded":
            # node rows are added to token embeddings at their scale: the root mean square of the looked-up table
            table_VD = backbone.get_input_embeddings().weight.detach()
            scale = embedding_scale(backbone.get_input_embeddings())
            self.size = nn.Parameter(scale * table_VD.float().square().mean().sqrt())
        elif settings.head == "grounded":
            self.head.inward.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self.backbone.get_input_embeddings().weight.device
        return device

    @property
    def trie(self) -> Trie:
        """The trie, on the device of the weights."""
        trie: Trie = self.head.trie_on(self.device)
        return trie

    def rows(self) -> Rows:
        """Compute the head's tables, which depend on weights alone: once per forward pass, or once for all searches."""
        with full_precision(self.device):
            rows: Rows = self.head.rows()
        return rows

    def encode(self, prompts_BL: Tensor, mask_BL: Tensor, *, rows: Rows | None = None) -> Prefix:
        """Read prompts once and keep their keys and values for the tokens that follow.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            rows: the result of `rows()`; computed here if grounded embeddings need it and it is None.

        Raises:
            DataError: a prompt is empty, not padded on the right, or longer than the model's attention reaches.
        """
        mask_BL = check_padding(mask_BL)
        self._check_reach(prompts_BL.shape[1])
        cache = DynamicCache()
        states_BLD = self._run(prompts_BL, self._nodes_in(prompts_BL), rows, past_key_values=cache, use_cache=True)
        return Prefix(cache, _last(states_BLD, mask_BL), mask_BL)

    def extend(self, prefix: Prefix, parents_BW: Tensor, tokens_BW: Tensor, *, rows: Rows | None = None) -> Tensor:
        """Enter tokens behind beams of the last step: one forward pass, W tokens side by side.

        Args:
            prefix: prompts and tokens entered so far; the new tokens are added to it.
            parents_BW: the beam of the last step that each token continues; behind the prompt there is only beam 0.
            tokens_BW: token ids.
            rows: as for `encode`.

        Returns:
            States (B, W, D) that predict the children of the new tokens.
        """
        nodes_BW = None
        if self.settings.embeddings == "grounded":
            nodes_BW = enter(self.trie, prefix.nodes_BW.gather(1, parents_BW), tokens_BW)
            prefix.nodes_BW = nodes_BW
        # beams share the cache: the mask, not a reordered copy, says which earlier tokens each new token sees
        visible, positions_BW = prefix.enter(parents_BW)
        tree = {"visible": visible, "position_ids": positions_BW, "past_key_values": prefix.cache, "use_cache": True}
        states_BWD = self._run(tokens_BW, nodes_BW, rows, **tree)
        return states_BWD if self.share is None else prefix.hidden_BD.unsqueeze(1) + self.share * states_BWD

    def score(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of nodes of one depth, as a beam search adds them."""
        with full_precision(self.device):
            logp_BWC: Tensor = self.head.score_children(rows, hidden_BWD, nodes_BW, depth, seen_BH)
        return logp_BWC

    def item_logp(self, rows: Rows, hidden_BD: Tensor, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, I) of all items at the root, from a head with pooling `mass`."""
        with full_precision(self.device):
            logp_BI: Tensor = self.head.item_logp(rows, hidden_BD, seen_BH)
        return logp_BI

    def read(self, ids_RL: Tensor, rows: Rows) -> Tensor:
        """Return the states (R, L, D) of whole sequences. Right padding needs no mask: nothing reads it."""
        return self._run(ids_RL, self._nodes_in(ids_RL), rows, use_cache=False)

    def read_completions(self, prompts_BL: Tensor, mask_BL: Tensor, entered_BGT: Tensor, rows: Rows) -> Tensor:
        """Read prompts and, behind each, several completions side by side in one sequence.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            entered_BGT: the nodes that completions enter, −1 beyond their ends.
            rows: the result of `rows()`.

        Returns:
            States (B, S, G, D) that predict the children of the root, then of the entered nodes: S = T + 1.
        """
        batch, groups, entered = entered_BGT.shape
        length = prompts_BL.shape[1]
        self._check_reach(length + entered)
        # step-major order, all first tokens before all second ones: the order `side_by_side` lays masks out in
        nodes_BT = entered_BGT.clamp(min=0).transpose(1, 2).flatten(1)
        prompt_nodes_BL = self._nodes_in(prompts_BL)
        visible_BKK, positions_BK = side_by_side(mask_BL, entered, groups)
        states_BKD = self._run(
            torch.cat([prompts_BL, self.trie.token[nodes_BT].clamp(min=0)], dim=1),
            None if prompt_nodes_BL is None else torch.cat([prompt_nodes_BL, nodes_BT], dim=1),
            rows,
            visible=visible_BKK,
            position_ids=positions_BK,
            use_cache=False,
        )
        # the state at the prompt's end predicts the first step of every completion alike
        first_BD = _last(states_BKD[:, :length], mask_BL)
        later_BTGD = states_BKD[:, length:].reshape(batch, entered, groups, states_BKD.shape[-1])
        return self.refined(torch.cat([first_BD[:, None, None].expand(-1, 1, groups, -1), later_BTGD], dim=1))

    def refined(self, hidden: Tensor) -> Tensor:
        """Return the queries of all steps (dimension 1): their states, or the first state plus a share of them."""
        if self.share is None:
            return hidden
        return torch.cat([hidden[:, :1], hidden[:, :1] + self.share * hidden[:, 1:]], dim=1)

    def _run(
        self, ids: Tensor, nodes: Tensor | None, rows: Rows | None, *, visible: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Run the stock model without its language head and return the states of all tokens."""
        inputs = {"input_ids": ids}
        if nodes is not None:
            inputs = {"inputs_embeds": self._embedded(ids, nodes, rows if rows is not None else self.rows())}
        dtype = self.backbone.get_input_embeddings().weight.dtype
        mask = None if visible is None else additive(visible, dtype)
        states: Tensor = self.backbone.get_decoder()(**inputs, attention_mask=mask, **options).last_hidden_state
        return states

    def _nodes_in(self, ids: Tensor) -> Tensor | None:
        """Return the trie nodes that tokens enter, if embeddings are grounded."""
        return mentioned_nodes(self.trie, ids) if self.settings.embeddings == "grounded" else None

    def _embedded(self, ids: Tensor, nodes: Tensor, rows: Rows) -> Tensor:
        """Embed tokens and add the rows of the nodes they enter, at the learned scale `size`."""
        tokens: Tensor = self.backbone.get_input_embeddings()(ids)
        grounded = self.size * self.head.embed_rows(rows.node_rows(nodes))
        embedded: Tensor = tokens + grounded.to(tokens.dtype) * (nodes > 0).unsqueeze(-1)
        return embedded

    def _check_reach(self, length: int) -> None:
        """Refuse lengths that a sliding window would cut: our masks cover whole prompts."""
        reach = getattr(self.backbone.config, "sliding_window", None)
        if reach and length + self.trie.longest > reach:
            raise DataError(
                f"prompts: {length} tokens exceed the backbone's attention window of {reach}; lower prompts.max_length"
            )


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off: heads score few rows, which is cheap in full precision."""
    return torch.autocast(device.type, enabled=False)


def _check_backbone(backbone: Any) -> None:
    implementation = getattr(backbone.config, "_attn_implementation", None) or "eager"
    if implementation not in ATTENTION:
        raise SettingsError(
            f"backbone: attention '{implementation}' accepts no custom mask; load the model with one of "
            f"{', '.join(ATTENTION)}"
        )
    if "position_ids" not in signature(backbone.get_decoder().forward).parameters:
        raise SettingsError(
            f"backbone: {type(backbone).__name__} accepts no custom positions, which beams side by side need; use a "
            "model with rotary or learned positions (Qwen2, Qwen3, Llama …)"
        )


def _last(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Return the states (B, D) of each row's last token."""
    last_B11 = (mask_BL.sum(1) - 1)[:, None, None]
    return states_BLD.gather(1, last_B11.expand(-1, 1, states_BLD.shape[-1])).squeeze(1)


# -------------------------------------------------------------------------------------------- trie nodes in token ids


def enter(trie: Trie, nodes: Tensor, tokens: Tensor) -> Tensor:
    """Return the child of each node (…,) along a token (…,), or 0, the root, where there is none.

    Edges are sorted by parent, then by token, so parent and token make one sorted key per edge for a binary search.
    """
    most = torch.maximum(trie.token.max(), tokens.max()) + 1
    edges_E = trie.parent[1:] * most + trie.token[1:]
    wanted = nodes * most + tokens
    edge = torch.searchsorted(edges_E, wanted).clamp(max=len(edges_E) - 1)
    return torch.where(edges_E[edge] == wanted, edge + 1, 0)


def mentioned_nodes(trie: Trie, ids_BL: Tensor) -> Tensor:
    """Return the node (B, L) that the tokens up to each position spell, or 0, the root, where they spell none.

    Identifiers with tokens of their own (`<a_12><b_0><c_7>`) are found anywhere, truncated ones as far as they go.
    """
    root_BL = torch.zeros_like(ids_BL)
    begun_BL = enter(trie, root_BL, ids_BL)
    nodes_BL = begun_BL
    # round r extends paths to length r + 1, in all positions at once; a path that cannot go on begins anew
    for _ in range(1, trie.longest):
        before_BL = torch.cat([root_BL[:, :1], nodes_BL[:, :-1]], dim=1)
        extended_BL = enter(trie, before_BL, ids_BL)
        nodes_BL = torch.where((before_BL > 0) & (extended_BL > 0), extended_BL, begun_BL)
    return nodes_BL

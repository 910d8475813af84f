"""Reading with a stock causal language model: prompts once each, and trees of tokens behind them.

Legend: `R` rows, `B` batch, `L` tokens, `D` features, `S` steps, `W` width, `G` completions, `T` steps entered,
`K` tokens of a prompt and its completions, `C` children, `H` history.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from inspect import signature
from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from transformers import DynamicCache

from lexirec.core.errors import DataError, SettingsError
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.tree_attention import Prefix, additive, check_padding, side_by_side
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.head_base import HeadSettings, Rows
from lexirec.nn.pretrained import SharedWeights
from lexirec.nn.vocabulary_head import make_head

ATTENTION = ("sdpa", "eager")
"""Implementations of attention that take a mask of one's own."""


class CausalReading(SharedWeights):
    """A stock causal language model, used without its language head, and a head that scores the trie's children."""

    def __init__(
        self, backbone: Any, settings: TSRecNetworkSettings, trie: Trie, items: ItemRows | None = None
    ) -> None:
        """Put a language model and a catalogue's trie together.

        Args:
            backbone: a stock causal language model (Qwen2, Qwen3, Llama …) with its language head.
            settings: what is scored.
            trie: of all identifiers, in tokens of the backbone.
            items: the items' rows, as wide as the backbone, for a grounded head.

        Raises:
            SettingsError: the backbone takes no masks or no positions of ours.
        """
        super().__init__()
        _check_backbone(backbone)
        self.backbone, self.settings, self.items = backbone, settings, items
        self.head = make_head(backbone, trie, items, settings)
        refines = settings.refine and settings.head == "grounded"
        self.share = nn.Parameter(torch.zeros(())) if refines else None
        if settings.embeddings == "grounded":
            table_VD = backbone.get_input_embeddings().weight.detach()
            self.size = nn.Parameter(table_VD.float().square().mean().sqrt())
        elif settings.head == "grounded":
            self.head.inward.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.backbone.get_input_embeddings().weight.device
        return device

    @property
    def trie(self) -> Trie:
        """The trie, where the weights are."""
        trie: Trie = self.head.trie_on(self.device)
        return trie

    def rows(self) -> Rows:
        """Compute what depends on weights alone: once for a forward pass, or for all searches."""
        with unmixed(self.device):
            rows: Rows = self.head.rows()
        return rows

    def encode(self, prompts_BL: Tensor, mask_BL: Tensor, *, rows: Rows | None = None) -> Prefix:
        """Read prompts, once each, and keep their keys and values for all that is spelled behind them.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            rows: what `rows()` gave, where it is there already; grounded embeddings need it.

        Raises:
            DataError: a prompt is empty, not padded on the right, or longer than the model's attention reaches.
        """
        mask_BL = check_padding(mask_BL)
        self._check_reach(prompts_BL.shape[1])
        cache = DynamicCache()
        states_BLD = self._run(prompts_BL, self._mentioned(prompts_BL), rows, past_key_values=cache, use_cache=True)
        return Prefix(cache, _last(states_BLD, mask_BL), mask_BL)

    def extend(self, prefix: Prefix, parents_BW: Tensor, tokens_BW: Tensor, *, rows: Rows | None = None) -> Tensor:
        """Enter tokens behind beams of the last step: one forward pass, W tokens side by side, nothing copied per beam.

        Args:
            prefix: what was read and entered so far; it takes the new tokens in.
            parents_BW: which beam of the last step each token goes on from; behind the prompt there is one, 0.
            tokens_BW: token ids.
            rows: as for `encode`.

        Returns:
            States (B, W, D) that ask for the children of the new tokens.
        """
        nodes_BW = None
        if self.settings.embeddings == "grounded":
            nodes_BW = enter(self.trie, prefix.nodes_BW.gather(1, parents_BW), tokens_BW)
            prefix.nodes_BW = nodes_BW
        visible, positions_BW = prefix.enter(parents_BW)
        tree = {"visible": visible, "position_ids": positions_BW, "past_key_values": prefix.cache, "use_cache": True}
        states_BWD = self._run(tokens_BW, nodes_BW, rows, **tree)
        return states_BWD if self.share is None else prefix.hidden_BD.unsqueeze(1) + self.share * states_BWD

    def score(self, rows: Rows, hidden_BWD: Tensor, nodes_BW: Tensor, depth: int, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of nodes of one depth, as a search adds them up."""
        with unmixed(self.device):
            logp_BWC: Tensor = self.head.score_children(rows, hidden_BWD, nodes_BW, depth, seen_BH)
        return logp_BWC

    def item_logp(self, rows: Rows, hidden_BD: Tensor, seen_BH: Tensor) -> Tensor:
        """Return log-probabilities (B, I) of all items at the root, which only a head with pooling `mass` has."""
        with unmixed(self.device):
            logp_BI: Tensor = self.head.item_logp(rows, hidden_BD, seen_BH)
        return logp_BI

    def read(self, ids_RL: Tensor, rows: Rows) -> Tensor:
        """Return the states (R, L, D) of whole sequences. Padding on the right needs no mask: nothing looks there."""
        return self._run(ids_RL, self._mentioned(ids_RL), rows, use_cache=False)

    def read_completions(self, prompts_BL: Tensor, mask_BL: Tensor, entered_BGT: Tensor, rows: Rows) -> Tensor:
        """Read prompts with completions side by side behind them, in one sequence per prompt.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            entered_BGT: the nodes that completions enter, −1 behind their ends.
            rows: what `rows()` gave.

        Returns:
            States (B, S, G, D) that ask for the children of the root, then of the nodes entered: S = T + 1.
        """
        batch, groups, entered = entered_BGT.shape
        length = prompts_BL.shape[1]
        self._check_reach(length + entered)
        nodes_BT = entered_BGT.clamp(min=0).transpose(1, 2).flatten(1)
        told_BL = self._mentioned(prompts_BL)
        visible_BKK, positions_BK = side_by_side(mask_BL, entered, groups)
        states_BKD = self._run(
            torch.cat([prompts_BL, self.trie.token[nodes_BT].clamp(min=0)], dim=1),
            None if told_BL is None else torch.cat([told_BL, nodes_BT], dim=1),
            rows,
            visible=visible_BKK,
            position_ids=positions_BK,
            use_cache=False,
        )
        first_BD = _last(states_BKD[:, :length], mask_BL)
        later_BTGD = states_BKD[:, length:].reshape(batch, entered, groups, states_BKD.shape[-1])
        return self.refined(torch.cat([first_BD[:, None, None].expand(-1, 1, groups, -1), later_BTGD], dim=1))

    def refined(self, hidden: Tensor) -> Tensor:
        """Let later steps (dimension 1) ask for themselves, or move the first one by their learned share."""
        if self.share is None:
            return hidden
        return torch.cat([hidden[:, :1], hidden[:, :1] + self.share * hidden[:, 1:]], dim=1)

    def _run(
        self, ids: Tensor, nodes: Tensor | None, rows: Rows | None, *, visible: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Run the stock model without its language head; return the states of all tokens."""
        inputs = {"input_ids": ids}
        if nodes is not None:
            inputs = {"inputs_embeds": self._embedded(ids, nodes, rows if rows is not None else self.rows())}
        dtype = self.backbone.get_input_embeddings().weight.dtype
        mask = None if visible is None else additive(visible, dtype)
        states: Tensor = self.backbone.get_decoder()(**inputs, attention_mask=mask, **options).last_hidden_state
        return states

    def _mentioned(self, ids: Tensor) -> Tensor | None:
        """Return the nodes that tokens enter, where embeddings ask for them."""
        return mentioned(self.trie, ids) if self.settings.embeddings == "grounded" else None

    def _embedded(self, ids: Tensor, nodes: Tensor, rows: Rows) -> Tensor:
        """Embed tokens, adding the row of the node that a token enters, at the size of the vocabulary's rows."""
        assert rows.nodes_ND is not None
        tokens: Tensor = self.backbone.get_input_embeddings()(ids)
        grounded = self.size * self.head.embed_rows(rows.nodes_ND[nodes])
        embedded: Tensor = tokens + grounded.to(tokens.dtype) * (nodes > 0).unsqueeze(-1)
        return embedded

    def _check_reach(self, length: int) -> None:
        """Refuse what a sliding window would cut: masks of ours are about whole prompts."""
        reach = getattr(self.backbone.config, "sliding_window", None)
        if reach is not None and length + self.trie.longest > reach:
            raise DataError(
                f"prompts: {length} tokens, but the backbone's attention reaches {reach}; shorten the prompts"
            )


def unmixed(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off: heads choose among few rows, in full precision."""
    return torch.autocast(device.type, enabled=False)


def _check_backbone(backbone: Any) -> None:
    implementation = getattr(backbone.config, "_attn_implementation", None) or "eager"
    if implementation not in ATTENTION:
        raise SettingsError(
            f"backbone: its attention is '{implementation}', which takes no mask of one's own; "
            f"load it with one of {', '.join(ATTENTION)}"
        )
    if "position_ids" not in signature(backbone.get_decoder().forward).parameters:
        raise SettingsError(
            f"backbone: a {type(backbone).__name__} takes no positions of one's own, so that beams cannot stand side "
            "by side; use a model with rotary or learned positions (Qwen2, Qwen3, Llama …)"
        )


def _last(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Return the states (B, D) of each row's last token."""
    place_B11 = (mask_BL.sum(1) - 1)[:, None, None]
    return states_BLD.gather(1, place_B11.expand(-1, 1, states_BLD.shape[-1])).squeeze(1)


# ------------------------------------------------------------------------------------------------------ causal settings
# What a causal recommender scores, and how it embeds items.


class TSRecNetworkSettings(HeadSettings):
    """What is scored, and how items are embedded."""

    embeddings: Literal["tokens", "grounded"] = "tokens"
    """How items in prompts are embedded: by their tokens, or by their tokens plus the rows of the nodes these enter."""

    @model_validator(mode="after")
    def _embeds_what_it_has(self) -> Self:
        if self.embeddings == "grounded" and self.head != "grounded":
            raise ValueError('embeddings "grounded" are the rows of head "grounded"; set that head, too')
        return self


# ------------------------------------------------------------------------------------------------------------- mentions
# Where a text mentions items: identifiers, and beginnings of them, found among token ids.
#
# Legend: `B` batch, `L` tokens, `E` edges of the trie.


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

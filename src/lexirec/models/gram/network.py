"""The network of GRAM: multi-granular late fusion on a stock T5 (arXiv 2506.01673, section 3.2; spec section 7).

One shared encoder reads a coarse user prompt and one fine prompt per item of the history, each on its own. A learned
vector per position is added to the encodings, and the decoder attends to all of them side by side. An item's encoding
depends on the item alone, so it is computed once per distinct item of a batch in training and once per catalogue in
use.

Beyond the paper, by settings: the likelihood may be normalised over legal children (`catalog`), scores of trie nodes
may come from item rows (`grounded`, see `nn.grounded_head`), and the user prompt may consist of item rows instead of
words and be read causally (`user_prompt = "grounded"`), so that all prefixes of a user share one pass.

Legend: `B` batch rows (windows of users' items), `M` items of a window, `Q` query rows (prefixes) of a window,
`R` real query rows, `S` steps, `L` tokens, `D` features, `H` history, `U` distinct items, `I` items, `W` beams.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lexirec.decoding.trie import Trie
from lexirec.models.gram.kept_states import KeptStates
from lexirec.models.gram.settings import GramNetworkSettings
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.models.gram.window_batch import (
    Batch,
    Encoder,
    encode_blocks,
    history_positions,
    items_before_targets,
    newest_first,
    prepend_begin,
    without_unread,
)
from lexirec.nn.cpu_kernels import look_up, shared_gradient, use_byte_dropout
from lexirec.nn.cross_attention import FusedPrompts
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.grounded_head import GroundedHead
from lexirec.nn.head_base import Head, Rows
from lexirec.nn.pretrained import SharedWeights
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5_layers import decode, encode_by_length, encode_causally
from lexirec.nn.text_encoder import TextEncoder
from lexirec.nn.vocabulary_head import make_head


class GramNetwork(SharedWeights):
    """A T5 that reads fused prompts, and a head that scores the children of trie nodes."""

    def __init__(
        self,
        backbone: Any,
        settings: GramNetworkSettings,
        trie: Trie,
        prompts: tuple[Ragged, UserPrompts],
        items: ItemRows | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        """Combine a backbone, the catalogue's prompts and its trie.

        Args:
            backbone: a T5ForConditionalGeneration, used unchanged.
            settings: inputs and head.
            trie: of all identifiers; with the end token under the vocabulary likelihood, without it otherwise.
            prompts: the items' prompts, one row of token ids each, and the builder of user prompts.
            items: the items' rows, for grounded heads.
            text_encoder: reads prompts in place of the backbone's encoder.
        """
        super().__init__()
        self.backbone, self.settings, self.text_encoder = backbone, settings, text_encoder
        use_byte_dropout(self)
        self.kept_states: KeptStates | None = None
        self.positions = nn.Embedding(settings.max_history + 1, backbone.config.d_model)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.items = items
        self.head: Head = make_head(backbone, trie, items, settings)
        self._item_prompts, self._user_prompts = prompts
        self._paths_IS = trie.ancestors()
        refines = settings.refine and settings.head == "grounded"
        # the share starts at 0: later steps then repeat the first step's query and depart from it as they learn
        self.share = nn.Parameter(torch.zeros(())) if refines else None
        if settings.user_prompt == "grounded":
            self.begin = nn.Parameter(torch.randn(backbone.config.d_model))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.positions.weight.device

    @property
    def encoders(self) -> list[nn.Module]:
        """The modules that encode prompts."""
        return [self.backbone.encoder] if self.text_encoder is None else [self.backbone.encoder, self.text_encoder]

    @property
    def item_prompts(self) -> Ragged:
        """The items' prompts, one row of token ids each."""
        return self._item_prompts

    @property
    def trie(self) -> Trie:
        """The trie, on the device of the weights."""
        trie: Trie = self.head.trie_on(self.device)  # type: ignore[attr-defined]
        return trie

    # ------------------------------------------------------------------------------------------------- learning

    def forward(self, items_BM: Tensor, targets_BQ: Tensor, soft_targets: Tensor | None = None) -> dict[str, Tensor]:
        """Return the loss of a packed batch: every target is predicted from the items before it in its window.

        Args:
            items_BM: items of the windows, −1 padded.
            targets_BQ: positions of the targets, −1 padded.
            soft_targets: (R, I) teacher probabilities of the real targets, in this order, scaled by their share of the
                loss (`models.distillation_teacher`); or None.
        """
        batch = Batch(items_BM, targets_BQ)
        # one word table with one dense gradient buffer serves encoder, decoder and head (CPU speed-up)
        real_BQ = targets_BQ >= 0
        path_BQS = self._paths(items_BM.gather(1, targets_BQ.clamp(min=0)).clamp(min=0))
        read = torch.cat([path_BQS.flatten().clamp(min=0), self.trie.item_node[items_BM.clamp(min=0)].flatten()])
        rows = self.head.rows_of(read, whole=soft_targets is not None)
        rows = replace(rows, words_VD=shared_gradient(self.backbone.shared.weight))
        path_RS = path_BQS[real_BQ]
        steps = self.head.steps(path_RS)
        prompts, start_BQD = self.fuse(without_unread(batch), rows)
        # teacher forcing: the decoder enters the target's own path, and the state of step s predicts node s
        entered = self.head.embed(rows, path_BQS[..., : steps - 1].clamp(min=0))
        inputs_BQSD = torch.cat([start_BQD.unsqueeze(2), entered], dim=2)
        hidden_RSD = decode(self.backbone.decoder, inputs_BQSD, prompts)[real_BQ]
        if steps > 1:
            later = self.refined(hidden_RSD[:, :1], hidden_RSD[:, 1:])
            hidden_RSD = torch.cat([hidden_RSD[:, :1], later], dim=1)
        seen_RH = items_before_targets(batch)[real_BQ]
        distilled = {} if soft_targets is None else {"soft_targets_RI": soft_targets}
        return {"loss": self.head.loss(rows, hidden_RSD, path_RS[:, :steps], seen_RH, **distilled)}

    def refined(self, first: Tensor, later: Tensor) -> Tensor:
        """Return the queries of later steps: their own states, or the first state plus a learned share of them."""
        return later if self.share is None else first + self.share * later

    def _paths(self, items: Tensor) -> Tensor:
        if self._paths_IS.device != items.device:
            self._paths_IS = self._paths_IS.to(items.device)
        return self._paths_IS[items]

    def fuse(self, batch: Batch, rows: Rows, encode: Encoder | None = None) -> tuple[FusedPrompts, Tensor]:
        """Encode the prompts of the windows, each distinct item once.

        Args:
            batch: windows and their targets.
            rows: the head's tables for this pass.
            encode: returns encodings of items, such as cached ones; by default they are computed.

        Returns:
            The prompts, and the decoder's first inputs (B, Q, D).
        """
        parts: list[tuple[Tensor, Tensor]] = []
        present_BM, prompt_tokens = batch.items_BM >= 0, 0
        if self.settings.item_prompts:
            parts.append(encode_blocks(batch.items_BM, encode or partial(self.encode_items, words_VD=rows.words_VD)))
            prompt_tokens = parts[0][1].shape[2]
        # an item's causal state becomes one more token of its block, behind its own prompt
        read_BMD, begin_BD = self._read_item_rows(batch.items_BM, rows)
        if read_BMD is not None:
            parts.append((read_BMD.unsqueeze(2), present_BM.unsqueeze(2)))
        start_BQD = self._start(batch, rows, read_BMD, begin_BD)
        if not parts:  # the user prompt alone: blocks without tokens
            nothing = start_BQD.new_zeros(*present_BM.shape, 0, start_BQD.shape[-1])
            parts.append((nothing, nothing[..., 0].bool()))
        blocks = torch.cat([states for states, _ in parts], dim=2), torch.cat([mask for _, mask in parts], dim=2)
        slots_BQM = history_positions(batch, self.settings.max_history)
        if begin_BD is not None:
            blocks, slots_BQM = prepend_begin(blocks, slots_BQM, begin_BD)
        own = self._own_prompts(batch, rows) if self.settings.user_prompt == "identifiers" else None
        left_out = self._left_out(slots_BQM, prompt_tokens, blocks[1].shape[2])
        return FusedPrompts(blocks, slots_BQM, self._table(), own, left_out), start_BQD

    def _left_out(self, slots_BQM: Tensor, prompt_tokens: int, tokens: int) -> Tensor | None:
        """Return which tokens of readable blocks are masked: (B, Q, M, L), the item prompts of older items.

        A block's first `prompt_tokens` tokens are the item's own prompt; None where all tokens are read.
        """
        newest = self.settings.item_prompts
        if isinstance(newest, bool):
            return None
        of_prompt_L = torch.arange(tokens, device=slots_BQM.device) < prompt_tokens
        return (slots_BQM > newest)[..., None] & of_prompt_L

    def _table(self) -> Tensor:
        return self.positions.weight if self.settings.positions else torch.zeros_like(self.positions.weight)

    def _own_prompts(self, batch: Batch, rows: Rows) -> tuple[Tensor, Tensor]:
        """Encode the user prompts of all real query rows: states (B, Q, L, D) with P_0 added, mask (B, Q, L)."""
        real_BQ = batch.targets_BQ >= 0
        histories_RH = newest_first(batch, self.settings.max_history)[real_BQ]
        states_RLD, mask_RL = self.encode_users(histories_RH, words_VD=rows.words_VD)
        # only real rows were encoded; scatter them back to the padded grid the decoder works on
        shape = (*real_BQ.shape, *states_RLD.shape[1:])
        states_BQLD = states_RLD.new_zeros(shape).masked_scatter(real_BQ[..., None, None], states_RLD)
        mask_BQL = mask_RL.new_zeros(shape[:3]).masked_scatter(real_BQ[..., None], mask_RL)
        return states_BQLD, mask_BQL

    def _read_item_rows(self, items_BM: Tensor, rows: Rows) -> tuple[Tensor | None, Tensor | None]:
        """Read the window's item rows causally: states of each item (B, M, D), and of the begin vector (B, D)."""
        if self.settings.user_prompt != "grounded":
            return None, None
        head = self.head
        assert isinstance(head, GroundedHead)
        leaves_BM = self.trie.item_node[items_BM.clamp(min=0)]
        begin_B1D = self.begin.expand(len(items_BM), 1, -1)
        # causal attention lets one pass serve all targets of a window: state m has read items 0 … m only
        sequence = torch.cat([begin_B1D, head.embed_rows(rows.node_rows(leaves_BM))], dim=1)
        states = encode_causally(self.backbone.encoder, sequence)
        return states[:, 1:], states[:, 0]

    def _start(self, batch: Batch, rows: Rows, read_BMD: Tensor | None, begin_BD: Tensor | None) -> Tensor:
        """Return the decoder's first input (B, Q, D): the start token, or the causal state of the newest item."""
        shape = batch.targets_BQ.shape
        if read_BMD is None or begin_BD is None:
            token = torch.tensor(self.backbone.config.decoder_start_token_id or 0, device=self.device)
            shared = self.backbone.shared
            embedded: Tensor = shared(token) if rows.words_VD is None else look_up(rows.words_VD, token)
            return embedded.expand(*shape, -1)
        # with the begin vector in front, entry p holds what was read before position p
        before_BMD = torch.cat([begin_BD.unsqueeze(1), read_BMD], dim=1)
        position_BQ = batch.targets_BQ.clamp(min=0)
        return before_BMD.gather(1, position_BQ[..., None].expand(*shape, before_BMD.shape[-1]))

    # ------------------------------------------------------------------------------------------------- encoding

    def encode_items(self, items_U: Tensor, *, words_VD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode items' prompts: states (U, L, D), without positions, and mask (U, L); `words_VD`: shared table."""
        if self.kept_states is not None and self.text_encoder is not None:
            states_ULW, mask_UL = self.kept_states.take(items_U)
            return self.text_encoder.project(states_ULW), mask_UL
        if self._item_prompts.values.device != self.device:
            self._item_prompts = self._item_prompts.to(self.device)
        ids_UL, mask_UL = self._item_prompts.pad(items_U)
        return self._encode(ids_UL, mask_UL, words_VD), mask_UL

    def encode_users(self, histories_RH: Tensor, *, words_VD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode user prompts of histories (newest first, −1 padded): states (R, L, D) with P_0 added, mask (R, L)."""
        ids_RL, mask_RL = self._user_prompts.to(self.device)(histories_RH)
        return self._encode(ids_RL, mask_RL, words_VD) + self._table()[0], mask_RL

    def _encode(self, ids: Tensor, mask: Tensor, words_VD: Tensor | None) -> Tensor:
        if self.text_encoder is not None:
            encoded: Tensor = self.text_encoder(ids, mask)
            return encoded
        return encode_by_length(self.backbone.encoder, ids, mask, words_VD)

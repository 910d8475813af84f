"""Multi-granular late fusion on a stock T5 (GRAM, arXiv 2506.01673, section 3.2; spec section 7).

One shared encoder reads a coarse user prompt and one fine prompt per item of the history, each alone; a learned
vector per position is added to what comes out, and the decoder reads all of it side by side. An item's encoding is a
function of the item alone, so it is computed once per user in training and once per catalogue in use.

Where ours goes beyond the paper, by settings: the likelihood may be normalised over legal children (`catalog`), rows
of nodes may be grounded in items (`grounded`, see `heads`), and the user prompt may be told in item rows instead of
words and read causally (`user_prompt = "grounded"`), so that all prefixes of a user share one pass.

Legend: `B` batch rows (windows of users' items), `M` items of a window, `Q` query rows (prefixes) of a window,
`R` real query rows, `S` steps, `L` tokens, `D` features, `H` history, `U` distinct items, `I` items, `W` width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.nn.cpu_kernels import look_up, shared_gradient, use_byte_dropout
from lexirec.nn.cross_attention import HIDDEN, FusedPrompts
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.grounded_head import GroundedHead
from lexirec.nn.head_base import Head, HeadSettings, Rows
from lexirec.nn.pretrained import SharedWeights
from lexirec.nn.ragged import Ragged
from lexirec.nn.t5_layers import decode, encode_by_length, encode_causally
from lexirec.nn.vocabulary_head import make_head


class GramNetworkSettings(HeadSettings):
    """What is fused, and what is scored."""

    max_history: int = Field(default=20, ge=1)
    """Newest items of a history that are read."""
    user_prompt: Literal["identifiers", "grounded", "none"] = "identifiers"
    """identifiers: a sentence of the history's identifiers (the paper's). grounded: the history's item rows, read
    causally. none: item prompts alone (the paper's ablation)."""
    item_prompts: bool | Annotated[int, Field(ge=1)] = True
    """Whether the items' own prompts are read; a number: those of the newest so many items of the history."""
    positions: bool = True
    """Whether every prompt is marked by its place in the history (the table P)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.user_prompt == "grounded" and self.head != "grounded":
            raise ValueError('user_prompt "grounded" is told in the rows of head "grounded"; set that head, too')
        if self.user_prompt == "none" and not self.item_prompts:
            raise ValueError("without a user prompt and without item prompts there is nothing to read; keep one")
        return self


Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From item numbers (U,) to states (U, L, D) and mask (U, L)."""


class Batch(NamedTuple):
    """Windows of users' items and the targets in them.

    Attributes:
        items_BM: item numbers, oldest first, −1 beyond the window's end.
        targets_BQ: places in the window that are to be predicted from all items before them, −1 where there is none.
    """

    items_BM: Tensor
    targets_BQ: Tensor


class GramNetwork(SharedWeights):
    """A T5 that reads fused prompts and a head that scores the trie's children."""

    def __init__(
        self,
        backbone: Any,
        settings: GramNetworkSettings,
        trie: Trie,
        prompts: tuple[Ragged, UserPrompts],
        items: ItemRows | None = None,
    ) -> None:
        """Put a backbone, the catalogue's prompts and its trie together.

        Args:
            backbone: a T5ForConditionalGeneration, used as it is.
            settings: what is fused and scored.
            trie: of all identifiers; with the end token under the vocabulary likelihood, without it otherwise.
            prompts: the items' prompts, one row of token ids each, and the builder of user prompts.
            items: the items' rows, for grounded heads.
        """
        super().__init__()
        use_byte_dropout(backbone)
        self.backbone, self.settings = backbone, settings
        self.positions = nn.Embedding(settings.max_history + 1, backbone.config.d_model)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.items = items
        self.head: Head = make_head(backbone, trie, items, settings)
        self._item_prompts, self._user_prompts = prompts
        self._paths_IS = trie.ancestors()
        refines = settings.refine and settings.head == "grounded"
        self.share = nn.Parameter(torch.zeros(())) if refines else None
        if settings.user_prompt == "grounded":
            self.begin = nn.Parameter(torch.randn(backbone.config.d_model))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.positions.weight.device

    @property
    def trie(self) -> Trie:
        """The trie, where the weights are."""
        trie: Trie = self.head.trie_on(self.device)  # type: ignore[attr-defined]
        return trie

    # ------------------------------------------------------------------------------------------------- learning

    def forward(self, items_BM: Tensor, targets_BQ: Tensor, soft_targets: Tensor | None = None) -> dict[str, Tensor]:
        """Return the loss of a packed batch: every target predicted from the items before it in its window.

        Args:
            items_BM: items of the windows, −1 padded.
            targets_BQ: places of the targets, −1 padded.
            soft_targets: (R, I) what the real targets, in this order, learn from a teacher, as parts of their loss
                (`training.distilling`); or nothing.
        """
        batch = Batch(items_BM, targets_BQ)
        rows = replace(self.head.rows(), words_VD=shared_gradient(self.backbone.shared.weight))
        real_BQ = targets_BQ >= 0
        path_BQS = self._paths(items_BM.gather(1, targets_BQ.clamp(min=0)).clamp(min=0))
        path_RS = path_BQS[real_BQ]
        steps = self.head.steps(path_RS)
        prompts, start_BQD = self.fuse(_read(batch), rows)
        entered = self.head.embed(rows, path_BQS[..., : steps - 1].clamp(min=0))
        inputs_BQSD = torch.cat([start_BQD.unsqueeze(2), entered], dim=2)
        hidden_RSD = decode(self.backbone.decoder, inputs_BQSD, prompts)[real_BQ]
        if steps > 1:
            later = self.refined(hidden_RSD[:, :1], hidden_RSD[:, 1:])
            hidden_RSD = torch.cat([hidden_RSD[:, :1], later], dim=1)
        seen_RH = _before_targets(batch)[real_BQ]
        taught = {} if soft_targets is None else {"soft_targets_RI": soft_targets}
        return {"loss": self.head.loss(rows, hidden_RSD, path_RS[:, :steps], seen_RH, **taught)}

    def refined(self, first: Tensor, later: Tensor) -> Tensor:
        """Return what later steps ask for: themselves, or the first step moved by their learned share."""
        return later if self.share is None else first + self.share * later

    def _paths(self, items: Tensor) -> Tensor:
        if self._paths_IS.device != items.device:
            self._paths_IS = self._paths_IS.to(items.device)
        return self._paths_IS[items]

    def fuse(self, batch: Batch, rows: Rows, encode: Encoder | None = None) -> tuple[FusedPrompts, Tensor]:
        """Encode what the windows need, each distinct item once.

        Args:
            batch: windows and what is predicted in them.
            rows: what the head computed for this pass.
            encode: where encodings of items come from; by default they are computed.

        Returns:
            The prompts, and what the decoder starts from (B, Q, D).
        """
        parts: list[tuple[Tensor, Tensor]] = []
        present_BM, told_from = batch.items_BM >= 0, 0
        if self.settings.item_prompts:
            parts.append(_blocks(batch.items_BM, encode or partial(self.encode_items, words_VD=rows.words_VD)))
            told_from = parts[0][1].shape[2]
        told_BMD, begin_BD = self._tell(batch.items_BM, rows)
        if told_BMD is not None:
            parts.append((told_BMD.unsqueeze(2), present_BM.unsqueeze(2)))
        start_BQD = self._start(batch, rows, told_BMD, begin_BD)
        if not parts:  # the user prompt alone: blocks without tokens
            nothing = start_BQD.new_zeros(*present_BM.shape, 0, start_BQD.shape[-1])
            parts.append((nothing, nothing[..., 0].bool()))
        blocks = torch.cat([states for states, _ in parts], dim=2), torch.cat([mask for _, mask in parts], dim=2)
        slots_BQM = _ages(batch, self.settings.max_history)
        if begin_BD is not None:
            blocks, slots_BQM = _with_begin(blocks, slots_BQM, begin_BD)
        own = self._own_prompts(batch, rows) if self.settings.user_prompt == "identifiers" else None
        left_out = self._left_out(slots_BQM, told_from, blocks[1].shape[2])
        return FusedPrompts(blocks, slots_BQM, self._table(), own, left_out), start_BQD

    def _left_out(self, slots_BQM: Tensor, prompt: int, tokens: int) -> Tensor | None:
        """Say which tokens of the blocks are not read although the block is: (B, Q, M, L), the prompts of older items.

        A block's first `prompt` tokens are the item's own prompt; None where all are read.
        """
        newest = self.settings.item_prompts
        if isinstance(newest, bool):
            return None
        of_prompt_L = torch.arange(tokens, device=slots_BQM.device) < prompt
        return (slots_BQM > newest)[..., None] & of_prompt_L

    def _table(self) -> Tensor:
        return self.positions.weight if self.settings.positions else torch.zeros_like(self.positions.weight)

    def _own_prompts(self, batch: Batch, rows: Rows) -> tuple[Tensor, Tensor]:
        """Encode the user prompts of all real query rows: states (B, Q, L, D) with P_0 added, mask (B, Q, L)."""
        real_BQ = batch.targets_BQ >= 0
        histories_RH = _newest_first(batch, self.settings.max_history)[real_BQ]
        states_RLD, mask_RL = self.encode_users(histories_RH, words_VD=rows.words_VD)
        shape = (*real_BQ.shape, *states_RLD.shape[1:])
        states_BQLD = states_RLD.new_zeros(shape).masked_scatter(real_BQ[..., None, None], states_RLD)
        mask_BQL = mask_RL.new_zeros(shape[:3]).masked_scatter(real_BQ[..., None], mask_RL)
        return states_BQLD, mask_BQL

    def _tell(self, items_BM: Tensor, rows: Rows) -> tuple[Tensor | None, Tensor | None]:
        """Read the window's item rows causally: states of each item (B, M, D), and of the beginning (B, D)."""
        if self.settings.user_prompt != "grounded":
            return None, None
        head = self.head
        assert isinstance(head, GroundedHead)
        assert rows.nodes_ND is not None
        leaves_BM = self.trie.item_node[items_BM.clamp(min=0)]
        begin_B1D = self.begin.expand(len(items_BM), 1, -1)
        sequence = torch.cat([begin_B1D, head.embed_rows(rows.nodes_ND[leaves_BM])], dim=1)
        states = encode_causally(self.backbone.encoder, sequence)
        return states[:, 1:], states[:, 0]

    def _start(self, batch: Batch, rows: Rows, told_BMD: Tensor | None, begin_BD: Tensor | None) -> Tensor:
        """Return what the decoder starts from: its start token, or what was told up to the newest item (B, Q, D)."""
        shape = batch.targets_BQ.shape
        if told_BMD is None or begin_BD is None:
            token = torch.tensor(self.backbone.config.decoder_start_token_id or 0, device=self.device)
            shared = self.backbone.shared
            embedded: Tensor = shared(token) if rows.words_VD is None else look_up(rows.words_VD, token)
            return embedded.expand(*shape, -1)
        before_BMD = torch.cat([begin_BD.unsqueeze(1), told_BMD], dim=1)
        place_BQ = batch.targets_BQ.clamp(min=0)
        return before_BMD.gather(1, place_BQ[..., None].expand(*shape, before_BMD.shape[-1]))

    # ------------------------------------------------------------------------------------------------- encoding

    def encode_items(self, items_U: Tensor, *, words_VD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode items' prompts: states (U, L, D), without positions, and mask (U, L); by a shared table if given."""
        if self._item_prompts.values.device != self.device:
            self._item_prompts = self._item_prompts.to(self.device)
        ids_UL, mask_UL = self._item_prompts.pad(items_U)
        return self._encode(ids_UL, mask_UL, words_VD), mask_UL

    def encode_users(self, histories_RH: Tensor, *, words_VD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode user prompts of histories (newest first, −1 padded): states (R, L, D) with P_0 added, mask (R, L)."""
        ids_RL, mask_RL = self._user_prompts.to(self.device)(histories_RH)
        return self._encode(ids_RL, mask_RL, words_VD) + self._table()[0], mask_RL

    def _encode(self, ids: Tensor, mask: Tensor, words_VD: Tensor | None) -> Tensor:
        return encode_by_length(self.backbone.encoder, ids, mask, words_VD)


def _blocks(items_BM: Tensor, encode: Encoder) -> tuple[Tensor, Tensor]:
    """Encode the distinct items of windows and lay them out: states (B, M, L, D) and mask (B, M, L)."""
    filler = items_BM.amax().clamp(min=0)  # for places beyond a window's end: an item that is encoded anyway
    distinct_U, place_BM = torch.unique(torch.where(items_BM >= 0, items_BM, filler), return_inverse=True)
    states_ULD, mask_UL = encode(distinct_U)
    return states_ULD[place_BM], mask_UL[place_BM] & (items_BM >= 0).unsqueeze(2)


def _read(batch: Batch) -> Batch:
    """Leave out what no query row reads: the last target of each window, and what comes after it."""
    last_B1 = batch.targets_BQ.amax(1, keepdim=True)
    items_BM = batch.items_BM[:, : int(last_B1.max())]
    before_BM = torch.arange(items_BM.shape[1], device=items_BM.device) < last_B1
    return batch._replace(items_BM=items_BM.masked_fill(~before_BM, -1))


def _ages(batch: Batch, max_history: int) -> Tensor:
    """Return how many places before each target each item stands (B, Q, M); HIDDEN where it may not be read."""
    width = batch.items_BM.shape[1]
    age_BQM = batch.targets_BQ[..., None] - torch.arange(width, device=batch.items_BM.device)
    seen_BQM = (age_BQM >= 1) & (age_BQM <= max_history) & (batch.items_BM >= 0)[:, None]
    return torch.where(seen_BQM, age_BQM, HIDDEN)


def _with_begin(
    blocks: tuple[Tensor, Tensor], slots_BQM: Tensor, begin_BD: Tensor
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Put a block of one token before the others, seen by every query row at the user prompt's position."""
    states_BMLD, mask_BML = blocks
    first = functional.pad(begin_BD[:, None, None], (0, 0, 0, states_BMLD.shape[2] - 1))
    there = torch.zeros_like(mask_BML[:, :1])
    there[:, :, 0] = True
    slots = functional.pad(slots_BQM, (1, 0), value=0)
    return (torch.cat([first, states_BMLD], dim=1), torch.cat([there, mask_BML], dim=1)), slots


def _newest_first(batch: Batch, max_history: int) -> Tensor:
    """Return the history of every query row, newest first, −1 padded: (B, Q, H)."""
    reach = torch.arange(max_history, device=batch.items_BM.device)
    place_BQH = batch.targets_BQ[..., None] - 1 - reach
    items_BQM = batch.items_BM.unsqueeze(1).expand(-1, batch.targets_BQ.shape[1], -1)
    return items_BQM.gather(2, place_BQH.clamp(min=0)).masked_fill(place_BQH < 0, -1)


def _before_targets(batch: Batch) -> Tensor:
    """Return the items that stand before each target in its window, −1 elsewhere: (B, Q, M)."""
    width = batch.items_BM.shape[1]
    before_BQM = torch.arange(width, device=batch.items_BM.device) < batch.targets_BQ[..., None]
    return batch.items_BM.unsqueeze(1).masked_fill(~before_BQM, -1)

"""Reference implementation of GRAM on stock transformers, as in its code (spec sections 7, 9 and 11).

Every sample encodes its own prompts: each item of its history and the user prompt. Padding prompts, which GRAM encodes,
too, are left out, so that the reference is not slower than necessary.

Legend: `B` samples, `H` history, `P` prompts of a sample, `L` tokens of a prompt, `T` tokens in all, `D` features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from lexirec.workflows.benchmarks.fixtures import END, World

Nested = dict[int, Any]


class Fused(NamedTuple):
    """Input of the decoder: states (B, T, D) with positions added, and mask (B, T)."""

    states_BTD: Tensor
    mask_BT: Tensor


def fuse(world: World, histories_BH: Tensor) -> Fused:
    """Encode the prompts of every sample and concatenate them.

    Args:
        world: model and prompts.
        histories_BH: item numbers, newest first, −1 padded.
    """
    model = world.model
    (user_ids, user_mask), (item_ids, item_mask) = (
        world.user_prompts(histories_BH),
        world.item_prompts.pad(histories_BH),
    )
    longest = max(user_ids.shape[-1], item_ids.shape[-1])
    ids_BPL, mask_BPL = (
        torch.cat([_widen(user.unsqueeze(1), longest), _widen(items, longest)], dim=1)
        for user, items in ((user_ids, item_ids), (user_mask, item_mask))
    )
    real_BP = mask_BPL.any(-1)
    encoded_RLD = model.backbone.encoder(
        input_ids=ids_BPL[real_BP], attention_mask=mask_BPL[real_BP].long()
    ).last_hidden_state
    states_BPLD = encoded_RLD.new_zeros(*ids_BPL.shape, encoded_RLD.shape[-1])
    states_BPLD[real_BP] = encoded_RLD
    states_BPLD = states_BPLD + model.positions.weight[: ids_BPL.shape[1], None]
    return Fused(states_BPLD.flatten(1, 2), mask_BPL.flatten(1))


def _widen(tokens: Tensor, length: int) -> Tensor:
    return functional.pad(tokens, (0, length - tokens.shape[-1]))


def loss(world: World, histories_BH: Tensor, labels_BL: Tensor) -> Tensor:
    """Return the stock model's loss: mean cross-entropy of the tokens, without labels of −100."""
    fused = fuse(world, histories_BH)
    value: Tensor = world.model.backbone(
        encoder_outputs=BaseModelOutput(last_hidden_state=fused.states_BTD),
        attention_mask=fused.mask_BT.long(),
        labels=labels_BL,
    ).loss
    return value


def nest(tokens: NDArray[np.int32]) -> Nested:
    """Return a trie of nested dictionaries, the end token last."""
    root: Nested = {}
    for row in tokens.tolist():
        node = root
        for token in [*(token for token in row if token >= 0), END]:
            node = node.setdefault(token, {})
    return root


@torch.no_grad()
def generate(world: World, trie: Nested, histories_BH: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Generate the best identifiers of one user under a prefix function, as GRAM does.

    Returns:
        Tokens (width, length), start and end included, best first; and scores (width,).
    """

    def allowed(_: int, prefix_L: Tensor) -> list[int]:
        node = trie
        for token in prefix_L.tolist()[1:]:
            node = node.get(token, {})
        return list(node) or [END]

    fused = fuse(world, histories_BH)
    generated = world.model.backbone.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=fused.states_BTD),
        attention_mask=fused.mask_BT.long(),
        prefix_allowed_tokens_fn=allowed,
        num_beams=width,
        num_return_sequences=width,
        max_length=world.model.trie.longest + 1,
        length_penalty=1.0,
        early_stopping=False,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    return generated.sequences, generated.sequences_scores

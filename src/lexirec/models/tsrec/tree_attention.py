"""Tree attention: masks and positions for many continuations of one prompt in one sequence.

A causal model reads a prompt once. Its continuations (the beams of a search, the completions of a group) stand side by
side behind it. A mask lets each token see the prompt and its own ancestors, and positions count from the prompt's end,
so each branch gets the states it would get alone.

Legend: `B` batch, `L` tokens of the prompts, `W` beams, `T` tokens entered so far, `G` completions, `S` steps,
`Q` queries, `K` keys, `D` features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.core.errors import DataError


@dataclass
class Prefix:
    """Prompts with their cache, and the tree of tokens entered behind them; `enter` changes it.

    Attributes:
        cache: keys and values of the prompts, once each, and of all entered tokens.
        hidden_BD: the model's state at the end of each prompt.
        prompt_BL: true on the prompts' own tokens.
        lengths_B: tokens of each prompt.
        lineage_BWT: true on the entered tokens that each token of the last step sees: its ancestors and itself.
        nodes_BW: the trie nodes that the last step entered, for grounded embeddings; the root at first.
        depth: number of steps entered.
    """

    cache: Any
    hidden_BD: Tensor
    prompt_BL: Tensor
    lengths_B: Tensor = field(init=False)
    lineage_BWT: Tensor = field(init=False)
    nodes_BW: Tensor = field(init=False)
    depth: int = 0

    def __post_init__(self) -> None:
        """Start at the end of the prompts, with an empty tree."""
        self.lengths_B = self.prompt_BL.sum(1)
        self.lineage_BWT = self.prompt_BL.new_zeros(len(self.prompt_BL), 1, 0)
        self.nodes_BW = self.lengths_B.new_zeros(len(self.prompt_BL), 1)

    def enter(self, parents_BW: Tensor) -> tuple[Tensor, Tensor]:
        """Add one token behind each of these beams of the last step.

        Returns:
            The mask of what each new token sees, bool (B, W, L + T), new tokens included, and their positions (B, W).
        """
        width, entered = parents_BW.shape[1], self.lineage_BWT.shape[2]
        # a token inherits its parent's ancestors and adds itself: no search through the tree is needed
        above_BWT = self.lineage_BWT.gather(1, parents_BW.unsqueeze(-1).expand(-1, -1, entered))
        itself = torch.eye(width, dtype=torch.bool, device=parents_BW.device).expand(len(parents_BW), -1, -1)
        self.lineage_BWT = torch.cat([above_BWT, itself], dim=2)
        visible = torch.cat([self.prompt_BL.unsqueeze(1).expand(-1, width, -1), self.lineage_BWT], dim=2)
        # all tokens of a step share one position, as if each branch followed the prompt alone
        positions_BW = (self.lengths_B + self.depth).unsqueeze(1).expand(-1, width)
        self.depth += 1
        return visible, positions_BW


def side_by_side(prompt_BL: Tensor, steps: int, groups: int) -> tuple[Tensor, Tensor]:
    """Return mask and positions of completions behind their prompts, all first tokens before all second ones.

    Args:
        prompt_BL: true on the prompts' own tokens.
        steps: tokens of each completion.
        groups: completions of each prompt.

    Returns:
        The mask of what each token sees, bool (B, K, K) with K = L + steps · groups, and positions (B, K).
    """
    batch, length = prompt_BL.shape
    order = torch.arange(length, device=prompt_BL.device)
    step_T = torch.arange(steps, device=prompt_BL.device).repeat_interleave(groups)
    group_T = torch.arange(groups, device=prompt_BL.device).repeat(steps)
    # within the completions a token sees the earlier tokens of its own group, and itself
    lineage_TT = (step_T <= step_T.unsqueeze(1)) & (group_T == group_T.unsqueeze(1))
    # right padding is never seen by real tokens; it sees itself, so that no row of the mask is empty
    causal_LK = functional.pad(order <= order.unsqueeze(1), (0, steps * groups)).expand(batch, -1, -1)
    tree_BTK = torch.cat(
        [prompt_BL.unsqueeze(1).expand(-1, steps * groups, -1), lineage_TT.expand(batch, -1, -1)], dim=2
    )
    positions_BK = torch.cat([order.expand(batch, -1), prompt_BL.sum(1, keepdim=True) + step_T], dim=1)
    return torch.cat([causal_LK, tree_BTK], dim=1), positions_BK


def additive(visible_BQK: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive mask (B, 1, Q, K) that stock models take, with sdpa and with eager attention."""
    zeros = torch.zeros(visible_BQK.shape, dtype=dtype, device=visible_BQK.device)
    return zeros.masked_fill_(~visible_BQK, torch.finfo(dtype).min).unsqueeze(1)


def check_padding(mask_BL: Tensor) -> Tensor:
    """Check that every row has tokens and right padding only, and return the mask as bool.

    Raises:
        DataError: a row is empty, or padded on the left or inside.
    """
    mask_BL = mask_BL.bool()
    if not mask_BL.shape[1] or not bool((mask_BL[:, 0] & (mask_BL[:, 1:] <= mask_BL[:, :-1]).all(1)).all()):
        raise DataError(
            "prompts: a row is empty or padded on the left; give at least one token, with all padding on the right"
        )
    return mask_BL

"""Rollouts for GRPO: groups of proposals from the beam search, their rewards, advantages and loss (spec section 9.1).

Legend: `B` groups (one per case), `G` proposals of a group, `S` steps, `L` tokens, `H` history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.progress import quiet
from lexirec.data.splits import Cases
from lexirec.models.tsrec.network import PathScores, TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.rewards import Rewards
from lexirec.models.tsrec.settings import Limits
from lexirec.models.tsrec.step_decoder import TSRecSearcher
from lexirec.nn.ragged import Ragged
from lexirec.nn.search import SearchSettings


class Proposals(NamedTuple):
    """Groups of proposals to learn from; groups without advantages may have been left out.

    Attributes:
        prompts_BL: token ids.
        mask_BL: true on tokens.
        seen_BH: items of the histories, −1 padded.
        items_BG: the proposed items, −1 for none.
        advantages_BG: of the proposals.
        counts_BGS: true on steps with a choice, those of nodes with several children.
        share: groups kept over groups of the batch; 0 where none has advantages (one is kept as a placeholder).
        figures: statistics of the whole batch, for the learning curve.
    """

    prompts_BL: Tensor
    mask_BL: Tensor
    seen_BH: Tensor
    items_BG: Tensor
    advantages_BG: Tensor
    counts_BGS: Tensor
    share: float
    figures: dict[str, float]

    def scores(self, model: TSRecNetwork) -> PathScores:
        """Score the proposals' paths over legal children, each prompt read once."""
        return model.path_logp(self.prompts_BL, self.mask_BL, self.items_BG, self.seen_BH)


@dataclass(frozen=True, eq=False)
class Proposer:
    """Proposes the best `group` items of each case by the beam search in use, and rewards them.

    Attributes:
        cases: histories with their targets.
        prompts: of all cases.
        builder: of the prompts.
        rewards: of the proposals.
        group: proposals per case.
        add_target: whether the last proposal of a group without the target is replaced by it.
        zero_groups: whether groups with equal rewards are left out, or kept for their KL divergence.
    """

    cases: Cases
    prompts: Ragged
    builder: PromptBuilder
    rewards: Rewards
    group: int
    add_target: bool
    zero_groups: Literal["skip", "kl"]

    @torch.no_grad()
    def propose(self, model: TSRecNetwork, rows: NDArray[np.int64]) -> Proposals:
        """Propose items for some cases and compute their advantages."""
        cases, device = self.cases.take(rows), model.device
        items_BG = self._search(model, cases)
        target_B1 = torch.from_numpy(cases.targets).long().to(device)[:, None]
        hits_B = (items_BG == target_B1).any(1)
        if self.add_target:
            items_BG[:, -1:] = torch.where(hits_B[:, None], items_BG[:, -1:], target_B1)
        rewards_BG = self.rewards(items_BG, cases)
        advantages_BG = advantages(rewards_BG).masked_fill(items_BG < 0, 0.0)
        useful_B = advantages_BG.ne(0).any(1)
        figures = _figures(items_BG, rewards_BG, hits_B, useful_B)
        # equal rewards give advantages of 0 and no gradient, so skipping such groups saves their forward passes
        kept_B = torch.ones_like(useful_B) if self.zero_groups == "kl" else useful_B
        share = float(kept_B.float().mean())
        # a batch without any useful group keeps its first: the trainer needs a loss, and `share` sets that to 0
        kept = (kept_B if share else torch.arange(len(rows), device=device) == 0).nonzero().squeeze(1)
        ids, mask = self.prompts.pad(torch.from_numpy(rows)[kept.cpu()])
        seen = cases.histories.padded(max(1, int(cases.histories.lengths.max(initial=0))))
        return Proposals(
            ids.to(device),
            mask.to(device),
            torch.from_numpy(seen).long().to(device)[kept],
            items_BG[kept],
            advantages_BG[kept],
            self._counts(model, items_BG[kept]),
            share,
            figures,
        )

    def _search(self, model: TSRecNetwork, cases: Cases) -> Tensor:
        group = min(self.group, model.trie.n_items)
        with quiet():
            searcher = TSRecSearcher(model, self.builder, SearchSettings(num_beams=group, batch_size=len(cases)))
            result = searcher.rank(cases.histories, group)
        return torch.from_numpy(result.items).long().to(model.device)

    def _counts(self, model: TSRecNetwork, items_BG: Tensor) -> Tensor:
        """Return a mask (B, G, S) of steps with a choice: those of nodes with two or more children."""
        trie = model.trie
        path_BGS = trie.ancestors()[items_BG.clamp(min=0)].masked_fill((items_BG < 0)[..., None], -1)
        above_BGS = torch.cat([torch.zeros_like(path_BGS[..., :1]), path_BGS[..., :-1].clamp(min=0)], dim=-1)
        return (path_BGS >= 0) & (trie.child_offsets.diff() > 1)[above_BGS]


def _figures(items_BG: Tensor, rewards_BG: Tensor, hits_B: Tensor, useful_B: Tensor) -> dict[str, float]:
    """Return mean reward, hit rate of groups, share of unique items per group and batch, share of groups to skip."""
    sorted_BG = items_BG.sort(1).values
    unique = 1 + (sorted_BG[:, 1:] != sorted_BG[:, :-1]).sum(1)
    return {
        "reward": float(rewards_BG.mean()),
        "hits": float(hits_B.float().mean()),
        "diversity": float(unique.float().mean()) / items_BG.shape[1],
        "coverage": len(torch.unique(items_BG)) / items_BG.numel(),
        "zero_advantage": 1 - float(useful_B.float().mean()),
    }


# ----------------------------------------------------------------------------------------------------------- group loss


_LEAST_SPREAD = 1e-4  # added to a group's standard deviation


class GroupLoss(NamedTuple):
    """The loss, the mean KL divergence per step, and the share of steps whose ratio was clipped."""

    loss: Tensor
    kl: Tensor
    clipped: Tensor


def advantages(rewards_BG: Tensor) -> Tensor:
    """Return each reward's distance from its group's mean in standard deviations; 0 where all rewards are equal.

    The deviation is the unbiased one plus 1e-4, as in MiniOneRec.
    """
    equal_B1 = rewards_BG.amax(1, keepdim=True) == rewards_BG.amin(1, keepdim=True)
    if rewards_BG.shape[1] < 2:
        return torch.zeros_like(rewards_BG)
    std_B1, mean_B1 = torch.std_mean(rewards_BG, dim=1, keepdim=True)
    return ((rewards_BG - mean_B1) / (std_B1 + _LEAST_SPREAD)).masked_fill(equal_B1, 0.0)


def divergence(logp: Tensor, reference: Tensor, most: float) -> Tensor:
    """Estimate the KL divergence of each step from a reference: exp(r) − r − 1, r = reference − logp (k3).

    Beyond `most` the exponential continues as its tangent. Otherwise a single step that is far likelier under the
    reference would outweigh all others (KLs of 10^12 are reported for the published code); clamping r instead would
    leave that step without a gradient back to the reference.
    """
    ratio = reference - logp
    near = ratio.clamp(max=most)
    return near.exp() - near - 1 + (math.exp(most) - 1) * (ratio - near)


def group_loss(
    logp_BGS: Tensor,
    old_BGS: Tensor,
    reference_BGS: Tensor | None,
    advantages_BG: Tensor,
    counts_BGS: Tensor,
    limits: Limits,
) -> GroupLoss:
    """Return the clipped policy loss of proposals: the mean over a proposal's steps, then over proposals.

    Args:
        logp_BGS: log-probabilities of steps under the policy.
        old_BGS: those of the policy that made the proposals, detached.
        reference_BGS: those of the reference, detached; without it there is no KL term.
        advantages_BG: of the proposals.
        counts_BGS: true on the steps that count, those with a choice.
        limits: on the policy's update.
    """
    ratio_BGS = (logp_BGS - old_BGS).clamp(-limits.log_ratio, limits.log_ratio).exp()
    within_BGS = ratio_BGS.clamp(1 - limits.clip, 1 + limits.clip)
    advantage_BG1 = advantages_BG.unsqueeze(-1)
    # the minimum takes the clipped ratio only where it lowers the objective: moving back is never blocked (PPO)
    loss_BGS = -torch.minimum(ratio_BGS * advantage_BG1, within_BGS * advantage_BG1)
    kl_BGS = torch.zeros_like(logp_BGS)
    if reference_BGS is not None:
        kl_BGS = divergence(logp_BGS, reference_BGS, limits.log_ratio)
        loss_BGS = loss_BGS + limits.beta * kl_BGS
    steps_BG = counts_BGS.sum(-1)
    loss_BG = (loss_BGS * counts_BGS).sum(-1) / steps_BG.clamp(min=1)
    total = steps_BG.sum().clamp(min=1)
    with torch.no_grad():
        clipped = (((ratio_BGS - 1).abs() > limits.clip) & counts_BGS).sum() / total
        kl = (kl_BGS * counts_BGS).sum() / total
    return GroupLoss(loss_BG.mean(), kl, clipped)

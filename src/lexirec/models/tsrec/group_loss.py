"""The loss of group-relative policy optimisation (GRPO; spec section 9.1): advantages, clipped ratios, KL.

Legend: `B` groups, `G` proposals of a group, `S` steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_SPREAD = 1e-4


class Limits(NamedTuple):
    """How far a policy may go.

    Attributes:
        clip: ratios beyond 1 ± clip are worth no more than that.
        beta: weight of the KL divergence from the reference.
        log_ratio: log-ratios beyond ± this are not trusted: a ratio stays there, the KL goes on as a straight line.
    """

    clip: float = 0.2
    beta: float = 0.04
    log_ratio: float = 3.0


class GroupLoss(NamedTuple):
    """The loss, and what is told of it: mean KL per step and the share of steps whose ratio was clipped."""

    loss: Tensor
    kl: Tensor
    clipped: Tensor


def advantages(rewards_BG: Tensor) -> Tensor:
    """Return by how many standard deviations each reward is above its group's mean; 0 where all are alike.

    The deviation is the unbiased one plus 1e-4, as in MiniOneRec.
    """
    alike_B1 = rewards_BG.amax(1, keepdim=True) == rewards_BG.amin(1, keepdim=True)
    if rewards_BG.shape[1] < 2:
        return torch.zeros_like(rewards_BG)
    std_B1, mean_B1 = torch.std_mean(rewards_BG, dim=1, keepdim=True)
    return ((rewards_BG - mean_B1) / (std_B1 + _LEAST_SPREAD)).masked_fill(alike_B1, 0.0)


def divergence(logp: Tensor, reference: Tensor, most: float) -> Tensor:
    """Estimate the KL divergence of each step from a reference: exp(r) − r − 1, r = reference − logp (k3).

    Beyond `most` the exponential goes on as its tangent: one step the reference thinks far likelier would otherwise
    outweigh all others (KLs of 10^12 are reported of the published code), and with r merely cut off nothing would
    pull it back.
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
    """Return the loss of proposals: the mean over a proposal's steps, then over proposals.

    Args:
        logp_BGS: log-probabilities of steps under the policy.
        old_BGS: those of the policy that made the proposals, detached.
        reference_BGS: those of the reference, detached; without it no KL is charged.
        advantages_BG: of the proposals.
        counts_BGS: whether a step counts: those on the path that leave a choice.
        limits: how far the policy may go.
    """
    ratio_BGS = (logp_BGS - old_BGS).clamp(-limits.log_ratio, limits.log_ratio).exp()
    within_BGS = ratio_BGS.clamp(1 - limits.clip, 1 + limits.clip)
    advantage_BG1 = advantages_BG.unsqueeze(-1)
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

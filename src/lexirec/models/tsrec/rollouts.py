"""What a policy proposes for a batch of cases, and what it gets for it.

Legend: `B` groups (one per case), `G` proposals of a group, `S` steps, `L` tokens, `H` history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.progress import quiet
from lexirec.data.splits import Cases
from lexirec.models.tsrec.causal_ranking import CausalRanker
from lexirec.models.tsrec.group_loss import advantages
from lexirec.models.tsrec.network import Causal, PathScores
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.rewards import Rewards
from lexirec.nn.ragged import Ragged
from lexirec.nn.search import SearchSettings


class Proposals(NamedTuple):
    """Groups that are learned from; those that teach nothing may have been left out.

    Attributes:
        prompts_BL: token ids.
        mask_BL: true on tokens.
        seen_BH: items of the histories, −1 padded.
        items_BG: what was proposed, −1 for nothing.
        advantages_BG: of the proposals.
        counts_BGS: steps that leave a choice.
        share: groups here over groups of the batch; 0 where no group is learned from (one stands here all the same).
        figures: what is told of the whole batch.
    """

    prompts_BL: Tensor
    mask_BL: Tensor
    seen_BH: Tensor
    items_BG: Tensor
    advantages_BG: Tensor
    counts_BGS: Tensor
    share: float
    figures: dict[str, float]

    def scores(self, model: Causal) -> PathScores:
        """Score the proposals' paths among legal children, each prompt read once."""
        return model.path_logp(self.prompts_BL, self.mask_BL, self.items_BG, self.seen_BH)


@dataclass(frozen=True, eq=False)
class Proposer:
    """Makes proposals with the search in use, the best `group` items of each case, and pays for them.

    Attributes:
        cases: histories with their targets.
        prompts: of all cases.
        builder: that made them.
        rewards: pays.
        group: proposals of a case.
        add_target: whether the last proposal of a group without the target is replaced by it.
        zero_groups: whether groups whose rewards are all alike are left out, or stay for their KL.
    """

    cases: Cases
    prompts: Ragged
    builder: PromptBuilder
    rewards: Rewards
    group: int
    add_target: bool
    zero_groups: Literal["skip", "kl"]

    @torch.no_grad()
    def propose(self, model: Causal, rows: NDArray[np.int64]) -> Proposals:
        """Make proposals for some cases."""
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
        kept_B = torch.ones_like(useful_B) if self.zero_groups == "kl" else useful_B
        share = float(kept_B.float().mean())
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

    def _search(self, model: Causal, cases: Cases) -> Tensor:
        group = min(self.group, model.trie.n_items)
        with quiet():
            ranker = CausalRanker(model, self.builder, SearchSettings(width=group, batch_size=len(cases)))
            found = ranker.rank(cases.histories, group)
        return torch.from_numpy(found.items).long().to(model.device)

    def _counts(self, model: Causal, items_BG: Tensor) -> Tensor:
        """Return the steps (B, G, S) that leave a choice: those of a node with two children or more."""
        trie = model.trie
        path_BGS = trie.ancestors()[items_BG.clamp(min=0)].masked_fill((items_BG < 0)[..., None], -1)
        above_BGS = torch.cat([torch.zeros_like(path_BGS[..., :1]), path_BGS[..., :-1].clamp(min=0)], dim=-1)
        return (path_BGS >= 0) & (trie.child_offsets.diff() > 1)[above_BGS]


def _figures(items_BG: Tensor, rewards_BG: Tensor, hits_B: Tensor, useful_B: Tensor) -> dict[str, float]:
    """Return mean reward, share of groups with a hit, unique items per group and batch, groups that teach nothing."""
    sorted_BG = items_BG.sort(1).values
    unique = 1 + (sorted_BG[:, 1:] != sorted_BG[:, :-1]).sum(1)
    return {
        "reward": float(rewards_BG.mean()),
        "hits": float(hits_B.float().mean()),
        "diversity": float(unique.float().mean()) / items_BG.shape[1],
        "coverage": len(torch.unique(items_BG)) / items_BG.numel(),
        "zero_advantage": 1 - float(useful_B.float().mean()),
    }

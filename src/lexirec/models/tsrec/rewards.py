"""Rewards of proposals for GRPO: functions of item numbers, and their weighted sum.

| reward | rewards | range |
|---|---|---|
| `exact` | the target itself | 0, 1 |
| `rank_aware` | nothing; it penalises other items in a list with the target, more at higher ranks | −0.17 … 0 |
| `prefix_overlap` | nodes of the trie shared with the target | 0 … 1 |
| `semantic` | items whose vectors are similar to the target's | −1 … 1 |
| `collaborative` | items that another recommender ranks high | 0 … 1 |
| `token_semantic` | tokens whose meanings are similar to those of the target's tokens | −1 … 1 |

Every function takes the proposals, best first, the target of each group, and by name the columns it needs; it ignores
other columns, so a new reward is a function and a line in `registry.REWARDS`. Targets come with their samples: nothing
is looked up by a prompt's text (the reference does so and rewards histories that occur twice for the wrong target).

Legend: `B` groups, `G` proposals of a group, `I` items, `S` steps of a path, `N` nodes, `T` tokens with a meaning,
`V` pieces of the vocabulary, `D` features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.registry import parameters
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.keywords import Pooling, TokenWords, keyword_shares
from lexirec.models.tsrec.registry import REWARDS
from lexirec.models.tsrec.settings import RewardSettings
from lexirec.semantic_ids.quantizers.assignment import finite_matrix

Reward = Callable[..., Tensor]
"""From proposals (B, G; −1 for none), and by name `target_B` and columns, to rewards: float (B, G)."""


def exact(items_BG: Tensor, *, target_B: Tensor, **columns: Any) -> Tensor:
    """Reward the target with 1, all else with 0 (the rule of MiniOneRec)."""
    return (items_BG == target_B[:, None]).float()


def rank_aware(
    items_BG: Tensor, *, target_B: Tensor, rank_slots: Literal["all", "others"] = "all", **columns: Any
) -> Tensor:
    """Penalise other items by rank: −1 / log2(rank + 2), normalised so that all ranks sum to −1.

    A group without its target has no penalty, because nothing says which of its items is nearest. `all` normalises over
    all ranks (MiniOneRec's code), `others` over those of the other items (its paper).
    """
    hit_BG = items_BG == target_B[:, None]
    penalty_G = torch.log2(torch.arange(items_BG.shape[1], device=items_BG.device) + 2.0).reciprocal()
    penalty_BG = torch.where(hit_BG, 0.0, penalty_G)
    total = penalty_G.sum() if rank_slots == "all" else penalty_BG.sum(1, keepdim=True).clamp(min=1e-9)
    return torch.where(hit_BG.any(1, keepdim=True), -penalty_BG / total, 0.0)


def prefix_overlap(items_BG: Tensor, *, target_B: Tensor, path_IS: Tensor, **columns: Any) -> Tensor:
    """Reward the share of the target's path that a proposal has in common with it."""
    target_B1S = path_IS[target_B][:, None]
    common_BGS = (path_IS[items_BG.clamp(min=0)] == target_B1S) & (target_B1S >= 0)
    return common_BGS.sum(-1) / (target_B1S >= 0).sum(-1)


def semantic(items_BG: Tensor, *, target_B: Tensor, vectors_ID: Tensor, **columns: Any) -> Tensor:
    """Reward the cosine of the vectors of proposal and target."""
    return functional.cosine_similarity(vectors_ID[items_BG.clamp(min=0)], vectors_ID[target_B][:, None], dim=-1)


def collaborative(items_BG: Tensor, *, target_B: Tensor, scores_BI: Tensor, **columns: Any) -> Tensor:
    """Reward another recommender's score of a proposal, scaled from its worst item (0) to its best (1).

    The policy then imitates that recommender instead of predicting the target; MiniOneRec, too, got worse with it.
    """
    low_B1, high_B1 = scores_BI.amin(1, keepdim=True), scores_BI.amax(1, keepdim=True)
    return (scores_BI.gather(1, items_BG.clamp(min=0)) - low_B1) / (high_B1 - low_B1).clamp(min=1e-9)


@dataclass(frozen=True, eq=False)
class Meanings:
    """Keyword vectors of the tokens on the trie's edges.

    Attributes:
        row_N: int64 (N,), the row of the token that leads into each node; the same for the same token.
        vectors_TD: float (T, D), the rows; all zeros for tokens without keywords (a collision's number).
    """

    row_N: Tensor
    vectors_TD: Tensor

    def to(self, device: torch.device) -> Meanings:
        """Return the same on another device."""
        return Meanings(self.row_N.to(device), self.vectors_TD.to(device))


def token_semantic(
    items_BG: Tensor, *, target_B: Tensor, path_IS: Tensor, meanings: Meanings, discount: float = 0.5, **columns: Any
) -> Tensor:
    """Reward, token by token, a meaning similar to that of the target's token.

    Ours (the TS-Rec authors mention a reward on tokens as future work). The reward of each step of the target's path is
    the cosine of the two tokens' keyword vectors, 1 for the same token, times `discount` to the power of the number of
    earlier steps with different tokens; the total is the mean over the path. An early token that is nearly right thus
    counts most, a token below a wrong one counts less (there it stands for other items), and only the target gets 1.
    """
    target_BGS = path_IS[target_B][:, None].expand(-1, items_BG.shape[1], -1)
    proposed_BGS = path_IS[items_BG.clamp(min=0)]
    present_BGS = target_BGS >= 0
    one, two = (meanings.row_N[nodes.clamp(min=0)] for nodes in (proposed_BGS, target_BGS))
    same_BGS = (one == two) & (proposed_BGS >= 0)
    rows_TD = functional.normalize(meanings.vectors_TD, dim=-1)
    cosine_BGS = (rows_TD[one] * rows_TD[two]).sum(-1).masked_fill(proposed_BGS < 0, 0.0)
    cosine_BGS = torch.where(same_BGS, 1.0, cosine_BGS)
    wrong_BGS = (~same_BGS).cumsum(-1) - (~same_BGS).long()  # number of earlier wrong steps
    return (cosine_BGS * discount**wrong_BGS * present_BGS).sum(-1) / present_BGS.sum(-1)


_IN_WORDS = {"vectors_ID": "item vectors", "scores_BI": "a scorer", "meanings": "the tokens' meanings"}


def columns_of(settings: RewardSettings) -> set[str]:
    """Return what the rewards that have a weight must be given by name, such as `vectors_ID`."""
    weighed = [REWARDS[name] for name, weight in settings.weights().items() if weight]
    return {column for reward in weighed for column, must in parameters(reward).items() if must}


@dataclass(frozen=True, eq=False)
class Rewards:
    """A weighted sum of rewards, with the item data they need.

    Attributes:
        parts: weight and function of each reward by name.
        columns: arguments of the functions by name, beside the target.
        scorer: scores (rows, n_items) of histories, for rewards that use them.
    """

    parts: dict[str, tuple[float, Reward]]
    columns: dict[str, Any] = field(default_factory=dict)
    scorer: Callable[[Sequences], NDArray[np.floating[Any]]] | None = None

    @classmethod
    def of(
        cls,
        settings: RewardSettings,
        trie: Trie,
        *,
        vectors: NDArray[np.floating[Any]] | None = None,
        scorer: Callable[[Sequences], NDArray[np.floating[Any]]] | None = None,
        meanings: Meanings | None = None,
    ) -> Rewards:
        """Build the weighted sum that the settings describe.

        Args:
            settings: the weights.
            trie: of the identifiers.
            vectors: of items (n_items, d), for `semantic`.
            scorer: scores of histories, such as a `Scorer`'s `scores`, for `collaborative`.
            meanings: of tokens, for `token_semantic`.

        Raises:
            SettingsError: a reward has a weight but its data are missing, or every weight is 0.
            DataError: a vector is not finite.
        """
        parts = {name: (weight, REWARDS[name]) for name, weight in settings.weights().items() if weight}
        given = {"vectors_ID": vectors, "scores_BI": scorer, "meanings": meanings}
        for name, (weight, reward) in parts.items():
            for column, words in _IN_WORDS.items():
                if given[column] is None and parameters(reward).get(column):
                    raise SettingsError(f"rewards.{name} is {weight:g}, which needs {words}; give it or set 0")
        if not parts:
            raise SettingsError("rewards: every weight is 0; set at least one above 0")
        columns: dict[str, Any] = {
            "path_IS": trie.ancestors(),
            "rank_slots": settings.rank_slots,
            "discount": settings.discount,
            "meanings": meanings,
            "vectors_ID": None if vectors is None else torch.from_numpy(finite_matrix(vectors)),
        }
        return cls(parts, columns, scorer if "scores_BI" in columns_of(settings) else None)

    def plus(self, name: str, weight: float, function: Reward) -> Rewards:
        """Return the same sum with one more, custom reward."""
        return replace(self, parts=self.parts | {name: (weight, function)})

    def __call__(self, items_BG: Tensor, cases: Cases) -> Tensor:
        """Return the rewards of proposals for as many cases: float (B, G); 0 for a missing proposal (−1).

        Raises:
            DataError: a reward is NaN or infinite.
        """
        device = items_BG.device
        columns = {name: value.to(device) if hasattr(value, "to") else value for name, value in self.columns.items()}
        if self.scorer is not None:
            scores = np.asarray(self.scorer(cases.histories), dtype=np.float32)
            columns["scores_BI"] = torch.from_numpy(scores).to(device)
        target_B = torch.from_numpy(cases.targets).long().to(device)
        total_BG, missing_BG = torch.zeros(items_BG.shape, device=device), items_BG < 0
        for name, (weight, function) in self.parts.items():
            reward_BG = function(items_BG, target_B=target_B, **columns).masked_fill(missing_BG, 0)
            if not reward_BG.isfinite().all():
                raise DataError(
                    f"rewards.{name}: NaN or infinity for {int((~reward_BG.isfinite()).any(1).sum()):,} of "
                    f"{len(items_BG):,} cases; every reward must be finite, and so must the vectors and scores it reads"
                )
            total_BG += weight * reward_BG
        return total_BG


# ------------------------------------------------------------------------------------------------------------- meanings


def token_meanings(
    trie: Trie,
    words: Sequence[TokenWords],
    tokenizer: PreTrainedTokenizerBase,
    table_VD: Tensor,
    *,
    pooling: Pooling = "keywords",
) -> Meanings:
    """Return the mean keyword vector of every token, as in SA-Init, minus the mean of its level.

    Without subtracting the level's mean all cosines are near 1: embeddings of a language model share most of their
    direction, and the keywords of deep levels are similar to each other.

    Args:
        trie: of identifiers in these tokens; tokens without keywords get zeros.
        words: tokens with their levels and keywords.
        tokenizer: of the backbone, which knows the tokens.
        table_VD: embeddings of the backbone's pieces, best those from before training.
        pooling: of keywords into a vector, as in SA-Init.
    """
    table = table_VD.detach().float().cpu().numpy()
    vectors_TD = keyword_shares(tokenizer, words, pooling) @ table[: len(tokenizer)]
    levels_T = np.array([word.level for word in words])
    for level in np.unique(levels_T):
        vectors_TD[levels_T == level] -= vectors_TD[levels_T == level].mean(axis=0)
    known_T = torch.tensor(tokenizer.convert_tokens_to_ids([word.token for word in words]), dtype=torch.int64)
    tokens_T, token_N = torch.unique(trie.token.cpu(), return_inverse=True)
    row_T = torch.zeros(len(tokens_T), vectors_TD.shape[1])
    place_T = torch.searchsorted(tokens_T, known_T).clamp(max=len(tokens_T) - 1)
    used_T = tokens_T[place_T] == known_T
    row_T[place_T[used_T]] = torch.from_numpy(vectors_TD).float()[used_T]
    return Meanings(token_N, row_T)

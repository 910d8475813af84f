"""A causal language model that recommends by spelling identifiers (MiniOneRec, TS-Rec; spec sections 7 to 9).

The model is a stock Hugging Face one. What is ours stands around it: the language head is computed where text is asked
for and nowhere else, a head (`heads`) scores the legal children of the trie where an item is asked for, and prompts
are read once however many beams or completions follow them (`causal_reading`, `tree_attention`).

Legend: `R` rows, `B` batch, `L` tokens, `D` features, `S` steps, `G` completions, `C` children, `H` history, `I` items.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.cached_lm import CachedLM, full_precision
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.models.tsrec.tree_attention import check_padding
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.head_base import Rows, wide


class PathScores(NamedTuple):
    """How likely items are, step by step, among the legal children.

    Attributes:
        logp: (B, G, S) log-probability of each step of each item's path; 0 behind a path's end.
        entropy: (B, G, S) of the distribution each step was taken from, in nats; 0 behind a path's end.
    """

    logp: Tensor
    entropy: Tensor


class TSRecNetwork(CachedLM):
    """A causal language model that learns to spell items, and to answer in text beside."""

    def __init__(
        self, backbone: Any, settings: TSRecNetworkSettings, trie: Trie, items: ItemRows | None = None
    ) -> None:
        """See `CachedLM`."""
        super().__init__(backbone, settings, trie, items)
        self._paths_IS = trie.ancestors()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        items: Tensor,
        starts: Tensor,
        seen: Tensor,
        soft_targets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of rows that ask for text or for an item: the mean over rows, so that each counts alike.

        A row that asks for text costs the mean cross-entropy of its labelled tokens. A row that asks for an item costs
        what the head says about the item's path (under the vocabulary likelihood, the mean over all tokens of items).

        Args:
            input_ids: (R, L) prompts with their targets, padded on the right.
            attention_mask: (R, L) true on tokens.
            labels: (R, L) the tokens asked for, −100 elsewhere; read in rows that ask for text.
            items: (R,) the item asked for, −1 where the target is text.
            starts: (R,) place of the target's first token.
            seen: (R, H) item numbers of the history, −1 padded.
            soft_targets: (R, I) teacher probabilities, scaled by their share of the loss
                (`models.distillation`); or None.

        Raises:
            DataError: a row is empty or not padded on the right.
        """
        check_padding(attention_mask)
        rows = self.rows()
        states_RLD = self.read(input_ids, rows)
        losses = []
        if len(spelled_R := (items >= 0).nonzero().squeeze(1)):
            path_RS = self._paths(items[spelled_R])
            hidden_RSD = self._asking(states_RLD, spelled_R, starts[spelled_R], self.head.steps(path_RS))
            taught = {} if soft_targets is None else {"soft_targets_RI": soft_targets[spelled_R]}
            losses.append(len(spelled_R) * self._item_loss(rows, hidden_RSD, path_RS, seen[spelled_R], **taught))
        if len(spelled_R) < len(items):
            losses.append(self._text_losses(states_RLD, labels.masked_fill((items >= 0).unsqueeze(1), -100)).sum())
        return {"loss": torch.stack(losses).sum() / len(items)}

    def _asking(self, states_RLD: Tensor, chosen: Tensor, starts: Tensor, steps: int) -> Tensor:
        """Return the states of some rows that ask for their targets' tokens."""
        places = starts.unsqueeze(1) - 1 + torch.arange(steps, device=starts.device)
        places = places.clamp(max=states_RLD.shape[1] - 1)  # behind a short target's end anything will do
        return self.refined(states_RLD[chosen.unsqueeze(1), places])

    def _item_loss(self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor, **taught: Tensor) -> Tensor:
        with full_precision(self.device):
            loss: Tensor = self.head.loss(rows, hidden_RSD, path_RS[:, : hidden_RSD.shape[1]], seen_RH, **taught)
        return loss

    def _text_losses(self, states_RLD: Tensor, labels_RL: Tensor) -> Tensor:
        """Return each row's mean cross-entropy (R,); the language head is computed at labelled positions only."""
        asked_RL = labels_RL[:, 1:] >= 0
        logits = self.backbone.get_output_embeddings()(states_RLD[:, :-1][asked_RL])
        loss = functional.cross_entropy(wide(logits), labels_RL[:, 1:][asked_RL], reduction="none")
        row, count_R = asked_RL.nonzero()[:, 0], asked_RL.sum(1).clamp(min=1)
        return loss.new_zeros(len(labels_RL)).index_add(0, row, loss) / count_R

    def path_logp(
        self, prompts_BL: Tensor, mask_BL: Tensor, items_BG: Tensor, seen_BH: Tensor | None = None
    ) -> PathScores:
        """Score the paths of several items behind each prompt in one forward pass that reads it once; differentiable.

        Probabilities are over the legal children, whatever the likelihood: what a constrained search chooses from.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            items_BG: item numbers; −1 for none.
            seen_BH: items of the histories, −1 padded, for heads that know repetition.

        Raises:
            DataError: a prompt is empty, not padded on the right, or longer than the model's attention reaches.
        """
        mask_BL, rows = check_padding(mask_BL), self.rows()
        path_BGS = self._paths(items_BG.clamp(min=0)).masked_fill(items_BG.unsqueeze(-1) < 0, -1)
        steps = self.head.steps(path_BGS.flatten(0, 1))
        hidden_BSGD = self.read_completions(prompts_BL, mask_BL, path_BGS[..., : steps - 1], rows)
        seen_BH = seen_BH if seen_BH is not None else items_BG.new_full((len(items_BG), 1), -1)
        with full_precision(self.device):
            found = [self._taken(rows, hidden_BSGD[:, step], path_BGS, step, seen_BH) for step in range(steps)]
        there_BGS, certain = path_BGS[..., :steps] >= 0, path_BGS.shape[-1] - steps
        logp, entropy = (torch.stack(part, dim=-1).where(there_BGS, 0) for part in zip(*found))
        return PathScores(functional.pad(logp, (0, certain)), functional.pad(entropy, (0, certain)))

    def _taken(
        self, rows: Rows, hidden_BGD: Tensor, path_BGS: Tensor, step: int, seen_BH: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the log-probability of the child taken at a step, and the entropy of the choice: both (B, G)."""
        above_BG = path_BGS[..., step - 1].clamp(min=0) if step else torch.zeros_like(path_BGS[..., 0])
        width = above_BG.shape[1] if step else 1  # at the root all completions choose alike
        logp_BGC = self.head.score_legal(rows, hidden_BGD[:, :width], above_BG[:, :width], step, seen_BH)
        finite_BGC = logp_BGC.masked_fill(logp_BGC == -torch.inf, 0)  # 0 · log 0 = 0
        entropy_BG = -(logp_BGC.exp() * finite_BGC).sum(-1).expand(above_BG.shape)
        child_BG = path_BGS[..., step] - self.trie.child_offsets[above_BG] - 1
        child_BG1 = child_BG.clamp(0, logp_BGC.shape[-1] - 1).unsqueeze(-1)
        return finite_BGC.expand(-1, above_BG.shape[1], -1).gather(-1, child_BG1).squeeze(-1), entropy_BG

    def _paths(self, items: Tensor) -> Tensor:
        if self._paths_IS.device != items.device:
            self._paths_IS = self._paths_IS.to(items.device)
        return self._paths_IS[items]

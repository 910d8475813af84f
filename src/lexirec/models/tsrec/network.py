"""The network of TS-Rec: a causal language model that generates identifiers (MiniOneRec, TS-Rec; spec sections 7 to 9).

The backbone is a stock Hugging Face model. Ours are three additions around it. The language head is computed only
where text is predicted; a head (`nn.head_base`) scores the legal children of the trie where an item is predicted; and
prompts are read once however many beams or completions follow them (`cached_lm`, `tree_attention`).

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
from lexirec.nn.sampled_rows import SAMPLED_ABOVE


class PathScores(NamedTuple):
    """Log-probabilities and entropies of items' paths, step by step, over the legal children.

    Attributes:
        logp: (B, G, S) log-probability of each step of each item's path; 0 beyond the path's end.
        entropy: (B, G, S) entropy of each step's distribution, in nats; 0 beyond the path's end.
    """

    logp: Tensor
    entropy: Tensor


class TSRecNetwork(CachedLM):
    """A causal language model with the losses of item and text targets, and scores of whole paths for reinforcement."""

    def __init__(
        self, backbone: Any, settings: TSRecNetworkSettings, trie: Trie, items: ItemRows | None = None
    ) -> None:
        """See `CachedLM.__init__`."""
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
        """Return the loss of rows with text or item targets: the mean over rows, so that all rows count equally.

        The loss of a text target is the mean cross-entropy of its labelled tokens. The loss of an item target is the
        head's loss of the item's path (under the vocabulary likelihood, the mean over all tokens of items).

        Args:
            input_ids: (R, L) prompts with their targets, padded on the right.
            attention_mask: (R, L) true on tokens.
            labels: (R, L) the target tokens, −100 elsewhere; used for text targets only.
            items: (R,) the target item, −1 where the target is text.
            starts: (R,) position of the target's first token.
            seen: (R, H) item numbers of the history, −1 padded.
            soft_targets: (R, I) teacher probabilities, scaled by their share of the loss
                (`models.distillation_teacher`); or None.

        Raises:
            DataError: a row is empty or not padded on the right.
        """
        check_padding(attention_mask)
        rows = self.rows_of(input_ids, items, whole=soft_targets is not None)
        states_RLD = self.read(input_ids, rows)
        losses = []
        if len(item_rows_R := (items >= 0).nonzero().squeeze(1)):
            path_RS = self._paths(items[item_rows_R])
            hidden_RSD = self._states_before(states_RLD, item_rows_R, starts[item_rows_R], self.head.steps(path_RS))
            distilled = {} if soft_targets is None else {"soft_targets_RI": soft_targets[item_rows_R]}
            # head.loss is a mean over its rows; times their number it adds up with the text losses
            losses.append(len(item_rows_R) * self._item_loss(rows, hidden_RSD, path_RS, seen[item_rows_R], **distilled))
        if len(item_rows_R) < len(items):
            losses.append(self._text_losses(states_RLD, labels.masked_fill((items >= 0).unsqueeze(1), -100)).sum())
        return {"loss": torch.stack(losses).sum() / len(items)}

    def rows_of(self, ids_RL: Tensor, items: Tensor, *, whole: bool) -> Rows:
        """Compute the tables of a training batch: in a large catalogue, of what it needs (`nn.sampled_rows`)."""
        if self.trie.n_items <= SAMPLED_ABOVE:
            return self.rows()
        nodes = self._paths(items.clamp(min=0)).flatten().clamp(min=0)
        mentioned = self._nodes_in(ids_RL)
        with full_precision(self.device):
            read = nodes if mentioned is None else torch.cat([nodes, mentioned.flatten()])
            rows: Rows = self.head.rows_of(read, whole=whole)
        return rows

    def _states_before(self, states_RLD: Tensor, chosen: Tensor, starts: Tensor, steps: int) -> Tensor:
        """Return the states (rows, steps, D) that predict the target tokens of some rows."""
        # the state one position before a token predicts it; beyond a short target's end any state will do
        positions = starts.unsqueeze(1) - 1 + torch.arange(steps, device=starts.device)
        positions = positions.clamp(max=states_RLD.shape[1] - 1)
        return self.refined(states_RLD[chosen.unsqueeze(1), positions])

    def _item_loss(
        self, rows: Rows, hidden_RSD: Tensor, path_RS: Tensor, seen_RH: Tensor, **distilled: Tensor
    ) -> Tensor:
        with full_precision(self.device):
            loss: Tensor = self.head.loss(rows, hidden_RSD, path_RS[:, : hidden_RSD.shape[1]], seen_RH, **distilled)
        return loss

    def _text_losses(self, states_RLD: Tensor, labels_RL: Tensor) -> Tensor:
        """Return each row's mean cross-entropy (R,); the language head is computed at labelled positions only."""
        labelled_RL = labels_RL[:, 1:] >= 0
        logits = self.backbone.get_output_embeddings()(states_RLD[:, :-1][labelled_RL])
        loss = functional.cross_entropy(wide(logits), labels_RL[:, 1:][labelled_RL], reduction="none")
        row, count_R = labelled_RL.nonzero()[:, 0], labelled_RL.sum(1).clamp(min=1)
        return loss.new_zeros(len(labels_RL)).index_add(0, row, loss) / count_R

    def path_logp(
        self, prompts_BL: Tensor, mask_BL: Tensor, items_BG: Tensor, seen_BH: Tensor | None = None
    ) -> PathScores:
        """Score the paths of several items after each prompt in one forward pass that reads it once; differentiable.

        Probabilities are over the legal children under every likelihood, because a constrained search chooses from
        them.

        Args:
            prompts_BL: token ids, padded on the right.
            mask_BL: true on tokens.
            items_BG: item numbers; −1 for none.
            seen_BH: items of the histories, −1 padded, for heads that score repetition.

        Raises:
            DataError: a prompt is empty, not padded on the right, or longer than the model's attention reaches.
        """
        mask_BL, rows = check_padding(mask_BL), self.rows()
        path_BGS = self._paths(items_BG.clamp(min=0)).masked_fill(items_BG.unsqueeze(-1) < 0, -1)
        steps = self.head.steps(path_BGS.flatten(0, 1))
        hidden_BSGD = self.read_completions(prompts_BL, mask_BL, path_BGS[..., : steps - 1], rows)
        seen_BH = seen_BH if seen_BH is not None else items_BG.new_full((len(items_BG), 1), -1)
        with full_precision(self.device):
            scored = [self._step_scores(rows, hidden_BSGD[:, step], path_BGS, step, seen_BH) for step in range(steps)]
        # steps beyond `head.steps` have a single legal child: log-probability and entropy are 0
        present_BGS, certain = path_BGS[..., :steps] >= 0, path_BGS.shape[-1] - steps
        logp, entropy = (torch.stack(part, dim=-1).where(present_BGS, 0) for part in zip(*scored))
        return PathScores(functional.pad(logp, (0, certain)), functional.pad(entropy, (0, certain)))

    def _step_scores(
        self, rows: Rows, hidden_BGD: Tensor, path_BGS: Tensor, step: int, seen_BH: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the log-probability of the child taken at a step, and the entropy of the choice: both (B, G)."""
        above_BG = path_BGS[..., step - 1].clamp(min=0) if step else torch.zeros_like(path_BGS[..., 0])
        width = above_BG.shape[1] if step else 1  # at the root all completions have the same choice
        logp_BGC = self.head.score_legal(rows, hidden_BGD[:, :width], above_BG[:, :width], step, seen_BH)
        finite_BGC = logp_BGC.masked_fill(logp_BGC == -torch.inf, 0)  # 0 · log 0 = 0
        entropy_BG = -(logp_BGC.exp() * finite_BGC).sum(-1).expand(above_BG.shape)
        # children of a node have consecutive numbers, so a child's number gives its column
        child_BG = path_BGS[..., step] - self.trie.child_offsets[above_BG] - 1
        child_BG1 = child_BG.clamp(0, logp_BGC.shape[-1] - 1).unsqueeze(-1)
        return finite_BGC.expand(-1, above_BG.shape[1], -1).gather(-1, child_BG1).squeeze(-1), entropy_BG

    def _paths(self, items: Tensor) -> Tensor:
        if self._paths_IS.device != items.device:
            self._paths_IS = self._paths_IS.to(items.device)
        return self._paths_IS[items]

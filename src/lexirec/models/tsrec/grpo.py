"""Polishing a causal recommender by group-relative policy optimisation over constrained beams (spec section 9).

For each case the search in use proposes a group of items; rewards are compared within the group, and the policy moves
towards what was paid for above the group's mean. Against what makes the published code unstable (spec section 14, B3,
B6, B9): probabilities are those among the legal tokens, which is what the search chooses from; log-ratios are clamped;
one prompt builder; targets travel with their cases. And validation rules: it is asked before the first step, a drop
ends the run, and the weights that remain are the best ones, those of before the first step included.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, prefix_cases
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.rewards import Meanings, Rewards, columns_of, token_meanings
from lexirec.models.tsrec.rollouts import Proposals, Proposer, group_loss
from lexirec.models.tsrec.settings import GrpoSettings, ReinforcementSettings
from lexirec.models.tsrec.sft import recommending
from lexirec.training.arguments import METRIC, Stop, sample
from lexirec.training.batching import like_length
from lexirec.training.checkpoints import began_from
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, carry_out

COLUMNS = ("reward", "hits", "kl", "entropy", "diversity", "coverage", "zero_advantage", "clipped")
"""What the curve tells of each stretch of steps, beside the loss: means over its batches."""
_log = logging.getLogger(__name__)


def reinforce_recommender(
    recommender: TSRecRecommender,
    train: Sequences,
    settings: ReinforcementSettings,
    *,
    validation: Cases | None,
    folder: str | Path | None,
    vectors: NDArray[np.floating[Any]] | None,
    scorer: Callable[[Sequences], NDArray[np.floating[Any]]] | None,
) -> None:
    """Reinforce a fine-tuned recommender in place; see `TSRecRecommender.reinforce`."""
    trie = recommender.model.trie
    meanings = _meanings(recommender) if "meanings" in columns_of(settings.rewards) else None
    rewards = Rewards.of(settings.rewards, trie, vectors=vectors, scorer=scorer, meanings=meanings)
    cases = prefix_cases(train, recommender.settings.prompts.max_history)
    with tempfile.TemporaryDirectory() as temporary:
        recommender.curve = reinforce(
            recommender.model,
            cases,
            settings.training,
            validation=validation,
            builder=recommender.builder,
            rewards=rewards,
            folder=Path(folder or temporary),
        )


def _meanings(recommender: TSRecRecommender) -> Meanings:
    if not recommender.words:
        raise SettingsError("rewards.token_semantic needs a lexicon that says what the tokens mean; give one")
    table_VD = recommender.backbone.model.get_input_embeddings().weight
    return token_meanings(recommender.model.trie, recommender.words, recommender.backbone.tokenizer, table_VD)


def reinforce(
    model: TSRecNetwork,
    cases: Cases,
    settings: GrpoSettings,
    *,
    validation: Cases | None,
    builder: PromptBuilder,
    rewards: Rewards,
    folder: Path,
) -> list[dict[str, float]]:
    """Polish a model; afterwards it holds the best weights by validation, which may be those it came with.

    Dropout is off, so that the first update's ratios are exactly one.

    Args:
        model: a fine-tuned model, changed in place.
        cases: training histories with their targets.
        settings: how.
        validation: cases that choose the weights, decoded as in use; without them nothing guards against getting worse.
        builder: of the prompts, the same as in fine-tuning and use.
        rewards: what proposals are paid.
        folder: where checkpoints go; a run carries on from what is there, from the same weights.

    Returns:
        The learning curve: rows with `step`, `epoch`, and `loss` with `COLUMNS` or the validation's figures; the
        first row of figures is that of the weights the model came with, at step 0.

    Raises:
        DataError: there are no cases.
        ArtifactError: the folder holds a run that began from other weights.
    """
    if not len(cases):
        raise DataError("there are no training cases to learn from; give rows of at least two items")
    began_from(folder, model.state_dict().items())
    cases = sample(cases, settings.cases, settings.seed)
    prompts = builder.next_item(cases.histories)
    run = TrainingRun(
        settings,
        folder,
        recommending(builder, validation, settings.validation_users, settings.validation_num_beams, settings.seed),
        dropped(settings.max_drop),
        judge_first=True,
        together=settings.updates,
        columns=(METRIC, "validation_recall@10", *COLUMNS),
        title="Reinforcing",
    )
    proposer = Proposer(cases, prompts, builder, rewards, settings.group, settings.add_target, settings.zero_groups)
    curve = carry_out(_GroupTrainer(model, _Rounds(prompts.lengths.numpy(), settings), run, proposer, settings))
    _tell([row for row in curve if METRIC in row], run.stop)
    return curve


def dropped(most: float) -> Stop:
    """Stop when the last judgement is more than this share below the first."""
    return lambda values: values[-1] < values[0] * (1 - most)


def _tell(judged: list[dict[str, float]], stop: Stop) -> None:
    values = [row[METRIC] for row in judged]
    if not values:
        return
    best = judged[int(np.argmax(values))]
    if stop(values):
        _log.warning(
            "stopped at step %d: validation NDCG@10 fell from %.4f to %.4f", judged[-1]["step"], values[0], values[-1]
        )
    _log.info("the weights of step %d remain: validation NDCG@10 %.4f", best["step"], best[METRIC])


class _Rounds(Epochs[NDArray[np.int64]]):
    """Batches of cases; those of one step come again for each update on their proposals."""

    def __init__(self, lengths: NDArray[np.int64], settings: GrpoSettings) -> None:
        def order(epoch: int) -> list[NDArray[np.int64]]:
            return like_length(lengths, settings.batch_size, [settings.seed, epoch])

        super().__init__(order, lambda rows: {"rows": torch.from_numpy(rows)}, settings.epochs)
        self._accumulate, self._updates = settings.gradient_accumulation_steps, settings.updates

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch, with those that come again."""
        return super().per_epoch * self._updates

    def __len__(self) -> int:
        return super().__len__() // self._accumulate * self._accumulate * self._updates

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        step, part = divmod(number, self._accumulate)
        return super().__getitem__(step // self._updates * self._accumulate + part)


@dataclass
class _Held:
    """Proposals between the updates on them, with their log-probabilities at first and under the reference."""

    proposals: Proposals
    old_BGS: Tensor | None = None
    reference_BGS: Tensor | None = None


class _GroupTrainer(ChoosingTrainer):
    """The trainer whose loss is that of groups of proposals."""

    def __init__(
        self, model: TSRecNetwork, data: _Rounds, run: TrainingRun, proposer: Proposer, settings: GrpoSettings
    ) -> None:
        super().__init__(model, data, run)
        self._proposer, self._settings = proposer, settings
        self._reference = copy.deepcopy(model).eval().requires_grad_(False) if settings.beta else None
        self._held: dict[int, _Held] = {}
        self._told: dict[str, list[float]] = {}

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Propose, or take up what was proposed for the first update, and return the loss."""
        policy: TSRecNetwork = self.accelerator.unwrap_model(model).eval()
        if self.state.global_step % self._settings.updates == 0:
            self._held[self.part] = self._propose(policy, inputs["rows"].cpu().numpy())
        held = self._held[self.part]
        proposals, scores = held.proposals, held.proposals.scores(policy)
        if held.old_BGS is None:
            held.old_BGS = scores.logp.detach()
        found = group_loss(
            scores.logp,
            held.old_BGS,
            held.reference_BGS,
            proposals.advantages_BG,
            proposals.counts_BGS,
            self._settings.limits,
        )
        entropy = (scores.entropy.detach() * proposals.counts_BGS).sum() / proposals.counts_BGS.sum().clamp(min=1)
        self._tell(proposals.figures | {"entropy": entropy.item(), "clipped": found.clipped.item()})
        if self._reference is not None:
            self._tell({"kl": found.kl.item()})
        return found.loss * proposals.share

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Put the means since the last log beside the loss."""
        if "loss" in logs:
            logs = logs | {name: float(np.mean(values)) for name, values in self._told.items()}
            self._told = {}
        super().log(logs, start_time)

    def _propose(self, policy: TSRecNetwork, rows: NDArray[np.int64]) -> _Held:
        proposals = self._proposer.propose(policy, rows)
        if self._reference is None:
            return _Held(proposals)
        with torch.no_grad():
            return _Held(proposals, reference_BGS=proposals.scores(self._reference).logp)

    def _tell(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._told.setdefault(name, []).append(value)

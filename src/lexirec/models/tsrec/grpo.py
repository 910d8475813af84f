"""Reinforcement of TS-Rec: group-relative policy optimisation (GRPO) over constrained beams (spec section 9).

For each case the beam search in use proposes a group of items. Rewards are compared within the group, and the policy
moves towards proposals above the group's mean. Several rules guard against the instability of the published code (spec
section 14, B3, B6, B9): probabilities are taken over the legal tokens, which is what the search chooses from;
log-ratios are clamped; one prompt builder serves all phases; targets travel with their cases. Validation decides: it
runs before the first step, a drop stops the run, and the best weights are kept, possibly the initial ones.

Legend: `B` groups, `G` proposals of a group, `S` steps.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, prefix_cases
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.rewards import Meanings, Rewards, columns_of, token_meanings
from lexirec.models.tsrec.rollouts import Proposals, Proposer, group_loss
from lexirec.models.tsrec.settings import GrpoSettings, ReinforcementSettings
from lexirec.models.tsrec.sft import ndcg_validator
from lexirec.training.arguments import METRIC, Stop
from lexirec.training.batching import batches_by_length
from lexirec.training.checkpoints import check_initial_weights
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training

if TYPE_CHECKING:
    from lexirec.models.tsrec.recommender import TSRecRecommender


COLUMNS = ("reward", "hits", "kl", "entropy", "diversity", "coverage", "zero_advantage", "clipped")
"""Columns of the learning curve beside the loss: means over the batches since the last row."""
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
        raise SettingsError(
            "rewards.token_semantic needs a lexicon that describes the tokens; give one, or set it to 0"
        )
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
    """Reinforce a model; afterwards it holds the best weights by validation, possibly the initial ones.

    Dropout is off, so that the ratios of the first update are exactly one.

    Args:
        model: a fine-tuned model, trained in place.
        cases: training histories with their targets.
        settings: of the training.
        validation: cases that choose the weights, decoded as in use; without them nothing prevents a decline.
        builder: of the prompts, the same as in fine-tuning and use.
        rewards: of the proposals.
        folder: of the checkpoints; a run resumes from the newest one, if it started from the same weights.

    Returns:
        The learning curve: rows with `step`, `epoch`, and either `loss` with `COLUMNS` or the validation metrics; the
        first row of metrics is that of the initial weights, at step 0.

    Raises:
        DataError: there are no cases.
        ArtifactError: the folder holds a run that started from other weights.
        TrainingError: the training diverges.
    """
    if not len(cases):
        raise DataError("there are no training cases; give training rows of at least two items")
    check_initial_weights(folder, model.state_dict().items())
    cases = cases.sample(settings.cases, settings.seed)
    prompts = builder.next_item(cases.histories)
    run = TrainingRun(
        settings,
        folder,
        ndcg_validator(builder, validation, settings.validation_users, settings.validation_num_beams, settings.seed),
        stop_on_drop(settings.max_drop),
        validate_first=True,
        together=settings.updates,
        columns=(METRIC, "validation_recall@10", *COLUMNS),
        title="Reinforcing TS-Rec",
    )
    proposer = Proposer(cases, prompts, builder, rewards, settings.group, settings.add_target, settings.zero_groups)
    curve = run_training(_GroupTrainer(model, _Rounds(prompts.lengths.numpy(), settings), run, proposer, settings))
    _log_outcome([row for row in curve if METRIC in row], run.stop)
    return curve


def stop_on_drop(most: float) -> Stop:
    """Stop when the last validation is more than this share below the first."""
    return lambda values: values[-1] < values[0] * (1 - most)


def _log_outcome(validations: list[dict[str, float]], stop: Stop) -> None:
    values = [row[METRIC] for row in validations]
    if not values:
        return
    best = validations[int(np.argmax(values))]
    if stop(values):
        _log.warning(
            "stopped at step %d: validation NDCG@10 fell from %.4f to %.4f",
            validations[-1]["step"],
            values[0],
            values[-1],
        )
    _log.info("kept the weights of step %d: validation NDCG@10 %.4f", best["step"], best[METRIC])


class _Rounds(Epochs[NDArray[np.int64]]):
    """Batches of cases; the batches of one step repeat for each update on their proposals."""

    def __init__(self, lengths: NDArray[np.int64], settings: GrpoSettings) -> None:
        def order(epoch: int) -> list[NDArray[np.int64]]:
            return batches_by_length(lengths, settings.batch_size, [settings.seed, epoch])

        super().__init__(order, lambda rows: {"rows": torch.from_numpy(rows)}, settings.epochs)
        self._accumulate, self._updates = settings.gradient_accumulation_steps, settings.updates

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch, repetitions included."""
        return super().per_epoch * self._updates

    def __len__(self) -> int:
        return super().__len__() // self._accumulate * self._accumulate * self._updates

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        # consecutive optimiser steps, `updates` of them, read the same `accumulate` batches
        step, part = divmod(number, self._accumulate)
        return super().__getitem__(step // self._updates * self._accumulate + part)


@dataclass
class _Rollout:
    """Proposals between their updates, with log-probabilities under the old policy and under the reference."""

    proposals: Proposals
    old_BGS: Tensor | None = None
    reference_BGS: Tensor | None = None


class _GroupTrainer(ChoosingTrainer):
    """The trainer whose loss is the group loss of proposals."""

    def __init__(
        self, model: TSRecNetwork, data: _Rounds, run: TrainingRun, proposer: Proposer, settings: GrpoSettings
    ) -> None:
        super().__init__(model, data, run)
        self._proposer, self._settings = proposer, settings
        self._reference = copy.deepcopy(model).eval().requires_grad_(False) if settings.beta else None
        self._rollouts: dict[int, _Rollout] = {}
        self._figures: dict[str, list[float]] = {}

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return the loss of new proposals, or on later updates of the same ones."""
        policy: TSRecNetwork = self.accelerator.unwrap_model(model).eval()
        if self.state.global_step % self._settings.updates == 0:
            self._rollouts[self.part] = self._propose(policy, inputs["rows"].cpu().numpy())
        rollout = self._rollouts[self.part]
        proposals, scores = rollout.proposals, rollout.proposals.scores(policy)
        if rollout.old_BGS is None:  # first update: this very policy made the proposals
            rollout.old_BGS = scores.logp.detach()
        result = group_loss(
            scores.logp,
            rollout.old_BGS,
            rollout.reference_BGS,
            proposals.advantages_BG,
            proposals.counts_BGS,
            self._settings.limits,
        )
        entropy = (scores.entropy.detach() * proposals.counts_BGS).sum() / proposals.counts_BGS.sum().clamp(min=1)
        self._collect(proposals.figures | {"entropy": entropy.item(), "clipped": result.clipped.item()})
        if self._reference is not None:
            self._collect({"kl": result.kl.item()})
        return result.loss * proposals.share

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the figures since the last log to the loss."""
        if "loss" in logs:
            logs = logs | {name: float(np.mean(values)) for name, values in self._figures.items()}
            self._figures = {}
        super().log(logs, start_time)

    def _propose(self, policy: TSRecNetwork, rows: NDArray[np.int64]) -> _Rollout:
        proposals = self._proposer.propose(policy, rows)
        if self._reference is None:
            return _Rollout(proposals)
        with torch.no_grad():
            return _Rollout(proposals, reference_BGS=proposals.scores(self._reference).logp)

    def _collect(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._figures.setdefault(name, []).append(value)

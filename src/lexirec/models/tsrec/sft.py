"""Supervised fine-tuning of a causal recommender: questions and answers of like length, in runs as those of `running`.

Legend: `R` rows of a batch, `L` tokens, `H` history.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lexirec.core.errors import DataError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation import DistillationSettings, Teacher
from lexirec.models.tsrec.causal_ranking import CausalRanker
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.network import Causal
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.trainable import LoraSettings, Trainable, Training
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import PaceSettings
from lexirec.training.batching import like_length
from lexirec.training.checkpoints import began_from
from lexirec.training.judging import Choice, patience, sample
from lexirec.training.trainer import ChoosingTrainer, Epochs, Run, carry_out


class SftSettings(PaceSettings):
    """How a causal recommender is fine-tuned. The defaults suit pretrained models; those from scratch learn faster."""

    trainable: Trainable = "full"
    """All weights; low-rank updates (peft) beside the rows of added tokens; or those rows alone. A grounded head is
    trained in any case."""
    lora: LoraSettings = LoraSettings()
    """The low-rank updates."""
    distillation: DistillationSettings = DistillationSettings()
    """What next items are learned from the memory, beside what was bought."""
    batch_size: int = Field(default=32, ge=1)
    """Examples of a batch, of like length; times `accumulate` those of a step."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom a model is chosen; a fixed random sample where there are more."""
    validation_width: int = Field(default=20, ge=10)
    """Beam width of the choice; the final measurement uses the search settings."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without a better model after which training stops."""


def fit_causal(
    model: Causal,
    examples: Examples,
    settings: SftSettings,
    *,
    validation: Cases | None,
    builder: PromptBuilder,
    folder: Path,
    known: int | None = None,
    teacher: Teacher | None = None,
) -> list[dict[str, float]]:
    """Fine-tune a model; afterwards it holds the weights of its best validation, low-rank updates merged.

    Args:
        model: the model to train, in place.
        examples: what it is asked and should answer.
        settings: how.
        validation: cases that choose the weights, decoded as in use; without them the last ones are kept.
        builder: of the prompts in which validation asks.
        folder: where checkpoints go; training carries on from what is there.
        known: tokens the tokenizer had before those of identifiers were added: rows below stay as they are unless all
            weights are trained. By default the least token of an identifier.
        teacher: the memory that cases of training rows are told of, too.

    Returns:
        The learning curve: rows with `step`, `epoch` and `loss` or the validation's figures.

    Raises:
        DataError: there are no examples.
        SettingsError: low-rank updates cannot be made.
        ArtifactError: the folder holds a training that began from other weights.
    """
    if not len(examples):
        raise DataError("there are no examples to learn from; give training rows of at least two items")
    known = int(model.trie.token[1:].min()) if known is None else known
    training = Training(model, settings.trainable, known, lora=settings.lora, seed=settings.seed)
    try:
        began_from(folder, training.fixed())
        choice = recommending(builder, validation, settings.validation_users, settings.validation_width, settings.seed)
        run = Run(settings, folder, choice, patience(settings.patience), undecayed=training.undecayed)
        return carry_out(ChoosingTrainer(model, epochs_of(examples, settings, teacher), run))
    finally:
        training.finish()


def epochs_of(examples: Examples, settings: SftSettings, teacher: Teacher | None = None) -> Epochs[NDArray[np.int64]]:
    """Return the batches of all epochs, of like length within a batch."""
    whole = side_by_side([examples.prompts, examples.targets])
    lengths = whole.lengths.numpy()
    return Epochs(
        lambda epoch: like_length(lengths, settings.batch_size, [settings.seed, epoch]),
        partial(_batch, examples, whole, teacher),
        settings.epochs,
    )


def _batch(examples: Examples, whole: Ragged, teacher: Teacher | None, rows: NDArray[np.int64]) -> dict[str, Tensor]:
    """Lay examples out as `Causal.forward` takes them; `whole` are prompts with their answers."""
    rows_R = torch.from_numpy(rows)
    ids_RL, mask_RL = whole.pad(rows_R)
    starts_R, histories = examples.prompts.lengths[rows_R], examples.histories.take(rows)
    answer_RL = mask_RL & (torch.arange(ids_RL.shape[1]) >= starts_R[:, None])
    seen_RH = histories.padded(max(1, int(histories.lengths.max(initial=0))))
    batch = {
        "input_ids": ids_RL,
        "attention_mask": mask_RL,
        "labels": ids_RL.masked_fill(~answer_RL, -100),
        "items": examples.items[rows_R],
        "starts": starts_R,
        "seen": torch.from_numpy(seen_RH).long(),
    }
    if teacher is not None and teacher.tells and examples.sources is not None:
        batch["told"] = teacher.told(histories, examples.sources[rows_R].numpy())
    return batch


def recommending(builder: PromptBuilder, cases: Cases | None, users: int, width: int, seed: int) -> Choice | None:
    """Return the judge that has a causal model recommend for some of these cases, as in use."""
    if cases is None:
        return None
    search = SearchSettings(width=width)

    def best_ten(model: Causal, histories: Sequences) -> NDArray[np.int32]:
        return CausalRanker(model, builder, search).rank(histories, 10).items

    return Choice(sample(cases, users, seed), best_ten)

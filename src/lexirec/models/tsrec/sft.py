"""Supervised fine-tuning of a causal recommender: questions and answers of like length, in runs as those of `running`.

Legend: `R` rows of a batch, `L` tokens, `H` history.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation import DistillationTeacher, copies_of
from lexirec.models.tsrec.decoder import TSRecSearcher
from lexirec.models.tsrec.examples import Examples, TaskTexts
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.recommender import TSRecRecommender
from lexirec.models.tsrec.settings import LoraSettings, SftSettings, Trainable
from lexirec.models.tsrec.tasks import make_examples
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import NdcgValidator, early_stopping, sample
from lexirec.training.batching import like_length
from lexirec.training.checkpoints import began_from
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, carry_out

# ------------------------------------------------------------------------------------------------------------ trainable
# Which weights of a causal recommender are trained: all, low-rank updates beside added rows, or added rows alone.


def fit_recommender(
    recommender: TSRecRecommender,
    train: Sequences,
    settings: SftSettings,
    *,
    validation: Cases | None,
    folder: str | Path | None,
    preferences: Sequence[str] | None,
) -> None:
    """Fine-tune a recommender in place on its tasks; see `TSRecRecommender.fit`."""
    texts = TaskTexts.of(recommender.catalog, recommender.words, preferences)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)

        def fit_copy(
            copy: TSRecRecommender, rows: NDArray[np.int64], how: SftSettings, below: Path
        ) -> TSRecRecommender:
            whose = None if preferences is None else [preferences[row] for row in rows]
            return copy.fit(train.take(rows), validation=validation, folder=below, training=how, preferences=whose)

        teacher = DistillationTeacher.fit(
            train,
            recommender.catalog.texts(),
            settings.distillation,
            flat=recommender.settings.network.flat,
            seed=settings.seed,
            copies=copies_of(recommender, settings, place, fit_copy),
        )
        rehearsed = teacher.rehearsed if teacher is not None else None
        builder, tasks = recommender.builder, recommender.settings.tasks
        examples = make_examples(builder, train, texts, tasks, rehearsed=rehearsed, seed=settings.seed)
        recommender.asked = examples.counts
        recommender.curve = fit_tsrec(
            recommender.model,
            examples,
            settings,
            validation=validation,
            builder=builder,
            folder=place,
            teacher=teacher,
        )


def fit_tsrec(
    model: TSRecNetwork,
    examples: Examples,
    settings: SftSettings,
    *,
    validation: Cases | None,
    builder: PromptBuilder,
    folder: Path,
    known: int | None = None,
    teacher: DistillationTeacher | None = None,
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
        choice = recommending(
            builder, validation, settings.validation_users, settings.validation_num_beams, settings.seed
        )
        run = TrainingRun(settings, folder, choice, early_stopping(settings.patience), undecayed=training.undecayed)
        return carry_out(ChoosingTrainer(model, epochs_of(examples, settings, teacher), run))
    finally:
        training.finish()


def epochs_of(
    examples: Examples, settings: SftSettings, teacher: DistillationTeacher | None = None
) -> Epochs[NDArray[np.int64]]:
    """Return the batches of all epochs, of like length within a batch."""
    whole = side_by_side([examples.prompts, examples.targets])
    lengths = whole.lengths.numpy()
    return Epochs(
        lambda epoch: like_length(lengths, settings.batch_size, [settings.seed, epoch]),
        partial(_batch, examples, whole, teacher),
        settings.epochs,
    )


def _batch(
    examples: Examples, whole: Ragged, teacher: DistillationTeacher | None, rows: NDArray[np.int64]
) -> dict[str, Tensor]:
    """Lay examples out as `TSRecNetwork.forward` takes them; `whole` are prompts with their answers."""
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
        batch["soft_targets"] = teacher.soft_targets(histories, examples.sources[rows_R].numpy())
    return batch


def recommending(
    builder: PromptBuilder, cases: Cases | None, users: int, width: int, seed: int
) -> NdcgValidator | None:
    """Return the judge that has a causal model recommend for some of these cases, as in use."""
    if cases is None:
        return None
    search = SearchSettings(num_beams=width)

    def best_ten(model: TSRecNetwork, histories: Sequences) -> NDArray[np.int32]:
        return TSRecSearcher(model, builder, search).rank(histories, 10).items

    return NdcgValidator(sample(cases, users, seed), best_ten)


class Training:
    """A causal model made ready for training in part; `finish` makes it whole again.

    The rows of the backbone's tables from `known` on, those of added tokens and spare ones, are trained in every mode:
    the gradient of all other rows is set to zero behind each backward pass and no weight decay acts on the tables, so
    those rows stay what they are, bit for bit. What is not of the backbone (a grounded head) is trained as always.

    Attributes:
        undecayed: names of the parameters no weight decay may act on.
    """

    def __init__(self, model: TSRecNetwork, trainable: Trainable, known: int, *, lora: LoraSettings, seed: int) -> None:
        """Freeze what is not trained.

        Args:
            model: changed in place.
            trainable: what is trained.
            known: tokens the tokenizer had before those of identifiers were added.
            lora: of low-rank updates.
            seed: of their initial weights.

        Raises:
            SettingsError: low-rank updates are asked for, and peft is not installed or finds no such layers.
        """
        self._model, self._adapters = model, None
        self._flags = {name: weight.requires_grad for name, weight in model.named_parameters()}
        self._hooks: list[Any] = []
        self.undecayed: frozenset[str] = frozenset()
        if trainable == "full":
            return
        model.backbone.requires_grad_(False)
        if trainable == "lora":
            self._adapters = _adapters(model.backbone, lora, seed)
        tables = {id(table): table for table in _tables(model.backbone)}
        for table in tables.values():
            table.requires_grad_(True)
            hook = table.register_post_accumulate_grad_hook(_keeping(known))  # type: ignore[no-untyped-call]
            self._hooks.append(hook)
        self.undecayed = frozenset(name for name, weight in model.named_parameters() if id(weight) in tables)

    def fixed(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights that training rests on and does not change."""
        return ((name, weight) for name, weight in self._model.named_parameters() if not weight.requires_grad)

    def finish(self) -> None:
        """Merge low-rank updates and set the model free, as it was."""
        for hook in self._hooks:
            hook.remove()
        if self._adapters is not None:
            self._adapters.merge_and_unload()
        for name, weight in self._model.named_parameters():
            weight.requires_grad_(self._flags[name])
        self._model.zero_grad()


def _tables(backbone: Any) -> list[Tensor]:
    """Return the tables of embeddings, and of the language head if that has one of its own."""
    return [part.weight for part in (backbone.get_input_embeddings(), backbone.get_output_embeddings())]


def _keeping(known: int) -> Callable[[Tensor], None]:
    def keep(table: Tensor) -> None:
        if table.grad is not None:
            table.grad[:known] = 0

    return keep


def _adapters(backbone: nn.Module, settings: LoraSettings, seed: int) -> Any:
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError:
        raise SettingsError("sft.trainable is 'lora', which needs peft: pip install peft") from None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.layers) or "all-linear",
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return LoraModel(backbone, config, "default")
        except ValueError as error:
            named = ", ".join(settings.layers) or "none"
            raise SettingsError(f"sft.lora.layers are {named}, but the model has no such linear layers") from error

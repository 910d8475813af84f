"""Supervised fine-tuning (SFT) of TS-Rec on prompts with answers: all weights, LoRA, or added embeddings only.

Legend: `R` rows of a batch, `L` tokens, `H` history.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation_teacher import DistillationTeacher, copy_trainer
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.mixture import TaskTexts, make_examples
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import LoraSettings, SftSettings, Trainable
from lexirec.models.tsrec.step_decoder import TSRecSearcher
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.search import SearchSettings
from lexirec.training.arguments import NdcgValidator, early_stopping
from lexirec.training.batching import batches_by_length
from lexirec.training.checkpoints import check_initial_weights
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training

if TYPE_CHECKING:
    from lexirec.models.tsrec.recommender import TSRecRecommender


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
        checkpoints = Path(folder or temporary)

        def fit_copy(
            copy: TSRecRecommender, rows: NDArray[np.int64], how: SftSettings, below: Path
        ) -> TSRecRecommender:
            texts_of_rows = None if preferences is None else [preferences[row] for row in rows]
            return copy.fit(
                train.take(rows), validation=validation, folder=below, training=how, preferences=texts_of_rows
            )

        teacher = DistillationTeacher.fit(
            train,
            recommender.catalog.texts(),
            settings.distillation,
            flat=recommender.settings.network.flat,
            seed=settings.seed,
            copies=copy_trainer(recommender, settings, checkpoints, fit_copy),
        )
        rehearsed = teacher.rehearsed if teacher is not None else None
        builder, tasks = recommender.builder, recommender.settings.tasks
        examples = make_examples(builder, train, texts, tasks, rehearsed=rehearsed, seed=settings.seed)
        recommender.example_counts = examples.counts
        recommender.curve = fit_tsrec(
            recommender.model,
            examples,
            settings,
            validation=validation,
            builder=builder,
            folder=checkpoints,
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
    base_vocabulary: int | None = None,
    teacher: DistillationTeacher | None = None,
) -> list[dict[str, float]]:
    """Fine-tune a model; afterwards it holds the weights of its best validation, low-rank updates merged.

    Args:
        model: the model to train, in place.
        examples: prompts and answers.
        settings: of the training.
        validation: cases that choose the weights, decoded as in use; without them the last weights are kept.
        builder: of the validation prompts.
        folder: of the checkpoints; training resumes from the newest one.
        base_vocabulary: size of the vocabulary before identifier tokens were added: embeddings below it stay fixed
            unless all weights are trained. By default the smallest token of an identifier.
        teacher: gives soft targets for cases of training rows; None for none.

    Returns:
        The learning curve: rows with `step`, `epoch`, and `loss` or the validation metrics.

    Raises:
        DataError: there are no examples.
        SettingsError: low-rank updates cannot be created.
        ArtifactError: the folder holds a run that started from other weights.
        TrainingError: the training diverges.
    """
    if not len(examples):
        raise DataError("there are no training examples; give training rows of at least two items")
    base_vocabulary = int(model.trie.token[1:].min()) if base_vocabulary is None else base_vocabulary
    training = Training(model, settings.trainable, base_vocabulary, lora=settings.lora, seed=settings.seed)
    try:
        check_initial_weights(folder, training.fixed())
        validator = ndcg_validator(
            builder, validation, settings.validation_users, settings.validation_num_beams, settings.seed
        )
        stop = early_stopping(settings.patience)
        run = TrainingRun(settings, folder, validator, stop, undecayed=training.undecayed, title="Fine-tuning TS-Rec")
        return run_training(ChoosingTrainer(model, epochs_of(examples, settings, teacher), run))
    finally:
        training.finish()


def epochs_of(
    examples: Examples, settings: SftSettings, teacher: DistillationTeacher | None = None
) -> Epochs[NDArray[np.int64]]:
    """Return the batches of all epochs; examples of a batch have similar lengths."""
    whole = side_by_side([examples.prompts, examples.targets])
    lengths = whole.lengths.numpy()
    return Epochs(
        lambda epoch: batches_by_length(lengths, settings.batch_size, [settings.seed, epoch]),
        partial(_batch, examples, whole, teacher),
        settings.epochs,
    )


def _batch(
    examples: Examples, whole: Ragged, teacher: DistillationTeacher | None, rows: NDArray[np.int64]
) -> dict[str, Tensor]:
    """Return examples as `TSRecNetwork.forward` takes them; `whole` holds prompts with their answers."""
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
    if teacher is not None and teacher.has_soft_targets and examples.sources is not None:
        batch["soft_targets"] = teacher.soft_targets(histories, examples.sources[rows_R].numpy())
    return batch


def ndcg_validator(
    builder: PromptBuilder, cases: Cases | None, users: int, width: int, seed: int
) -> NdcgValidator | None:
    """Return a validator that ranks at most `users` of the cases as in use; None without cases."""
    if cases is None or not len(cases):
        return None
    search = SearchSettings(num_beams=width)

    def best_ten(model: TSRecNetwork, histories: Sequences) -> NDArray[np.int32]:
        return TSRecSearcher(model, builder, search).rank(histories, 10).items

    return NdcgValidator(cases.sample(users, seed), best_ten)


class Training:
    """A model prepared for full or partial training; `finish` merges and unfreezes it again.

    In every mode the backbone's embeddings from `base_vocabulary` on are trained, those of added and spare tokens.
    After each backward pass the gradient of all other rows is set to zero, and no weight decay acts on the tables, so
    those rows stay equal bit by bit. Parameters outside the backbone (a grounded head) are always trained.

    Attributes:
        undecayed: names of the parameters without weight decay.
    """

    def __init__(
        self, model: TSRecNetwork, trainable: Trainable, base_vocabulary: int, *, lora: LoraSettings, seed: int
    ) -> None:
        """Freeze the weights that are not trained.

        Args:
            model: changed in place.
            trainable: full, lora or embeddings, as in `SftSettings`.
            base_vocabulary: size of the vocabulary before identifier tokens were added.
            lora: settings of low-rank updates.
            seed: of their initial weights.

        Raises:
            SettingsError: `trainable` is lora, and peft is not installed or finds no such layers.
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
            hook = table.register_post_accumulate_grad_hook(_zero_gradients_below(base_vocabulary))  # type: ignore[no-untyped-call]
            self._hooks.append(hook)
        self.undecayed = frozenset(name for name, weight in model.named_parameters() if id(weight) in tables)

    def fixed(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the frozen weights, on which the trained ones depend."""
        return ((name, weight) for name, weight in self._model.named_parameters() if not weight.requires_grad)

    def finish(self) -> None:
        """Merge low-rank updates and restore which weights require gradients."""
        for hook in self._hooks:
            hook.remove()
        if self._adapters is not None:
            self._adapters.merge_and_unload()
        for name, weight in self._model.named_parameters():
            weight.requires_grad_(self._flags[name])
        self._model.zero_grad()


def _tables(backbone: Any) -> list[Tensor]:
    """Return the tables of input embeddings and language head; the same table twice where they are tied."""
    return [part.weight for part in (backbone.get_input_embeddings(), backbone.get_output_embeddings())]


def _zero_gradients_below(base_vocabulary: int) -> Callable[[Tensor], None]:
    def zero_old_rows(table: Tensor) -> None:
        if table.grad is not None:
            table.grad[:base_vocabulary] = 0

    return zero_old_rows


def _adapters(backbone: nn.Module, settings: LoraSettings, seed: int) -> Any:
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError:
        raise SettingsError("trainable is 'lora', which needs the package 'peft': pip install peft") from None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.layers) or "all-linear",
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in backbone.modules()),  # GPT-2's layers
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return LoraModel(backbone, config, "default")
        except ValueError as error:
            named = ", ".join(settings.layers) or "none"
            raise SettingsError(
                f"lora.layers: {named}: the backbone has no such linear layers; name others, or leave them out"
            ) from error

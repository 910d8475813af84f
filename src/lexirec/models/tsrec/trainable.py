"""Which weights of a causal recommender are trained: all, low-rank updates beside added rows, or added rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lexirec.core.config import Settings
from lexirec.core.errors import SettingsError
from lexirec.models.tsrec.network import Causal

Trainable = Literal["full", "lora", "embeddings"]


class LoraSettings(Settings):
    """Low-rank updates (peft) of the backbone's linear layers; they are merged into it after training."""

    rank: int = Field(default=16, ge=1)
    """Rank of each update."""
    alpha: int = Field(default=32, ge=1)
    """Updates are scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of what updates read."""
    layers: tuple[str, ...] = ()
    """Names of the linear layers that are updated, such as "q_proj"; none stands for all but the language head."""


class Training:
    """A causal model made ready for training in part; `finish` makes it whole again.

    The rows of the backbone's tables from `known` on, those of added tokens and spare ones, are trained in every mode:
    the gradient of all other rows is set to zero behind each backward pass and no weight decay acts on the tables, so
    those rows stay what they are, bit for bit. What is not of the backbone (a grounded head) is trained as always.

    Attributes:
        undecayed: names of the parameters no weight decay may act on.
    """

    def __init__(self, model: Causal, trainable: Trainable, known: int, *, lora: LoraSettings, seed: int) -> None:
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

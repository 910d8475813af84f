"""The settings of a GRAM recommender, from its prompts to how it is searched."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.renamed import renamed
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.models.distillation import DistillationSettings, check_teachable
from lexirec.models.gram.item_prompts import PromptSettings
from lexirec.models.gram.network import GramNetworkSettings
from lexirec.nn.search import SearchSettings


class GramTrainingSettings(TrainerSettings):
    """How a late-fusion model is trained; the defaults suit models from scratch."""

    epochs: int = Field(default=12, ge=1)
    """Times every target is seen, at most."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Of AdamW, after the warm-up and before the cosine decay."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    batch_targets: int = Field(default=400, ge=1)
    """Targets of a step, about: whole windows are packed until there are as many."""
    packed: bool = True
    """Whether all prefixes of a user share a window; false trains on one row per prefix as the reference does."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom a model is chosen; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of the choice; the final measurement uses the search settings."""
    evals_per_epoch: int = Field(default=1, ge=1)
    """How often weights are judged."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without a better model after which training stops."""
    distillation: DistillationSettings = DistillationSettings()
    """What next items are learned from the memory, beside what was bought."""


class GramSettings(Settings):
    """A late-fusion model, from its prompts to how it is searched."""

    model_config = renamed(fusion="network")
    kind: Literal["late-fusion"] = "late-fusion"
    network: GramNetworkSettings = GramNetworkSettings()
    """What is fused, and what is scored."""
    prompts: PromptSettings = PromptSettings()
    """What prompts hold."""
    training: GramTrainingSettings = GramTrainingSettings()
    """How it is trained."""
    search: SearchSettings = SearchSettings()
    """How items are looked for."""
    token_spread: float = Field(default=0.1, gt=0)
    """Spread of the rows of tokens added to the vocabulary, in that of the rows there are. A tenth suits pretrained
    rows; 1 suits a model from scratch whose identifiers are nothing but such tokens."""
    seed: int = 0
    """Seed of fresh weights."""

    @model_validator(mode="after")
    def _can_be_taught(self) -> Self:
        check_teachable(self.training.distillation, flat=self.network.flat)
        return self

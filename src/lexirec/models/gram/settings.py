"""Settings of GRAM: prompts, network, training and search."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lexirec.core.config import Settings
from lexirec.core.renamed import renamed
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.models.distillation_teacher import DistillationSettings, check_teachable
from lexirec.nn.head_base import HeadSettings
from lexirec.nn.search import SearchSettings

Part = Literal["item", "similar_items", "metadata"]
HISTORY = "{history}"
"""The place of the history's identifiers in a user template."""


class PromptSettings(Settings):
    """Contents, order and token limits of item and user prompts.

    The ablations of spec section 10.2: without linking, `parts = ["similar_items", "metadata"]`; without the
    collaborative attribute, `parts = ["item", "metadata"]`; identifiers only, `parts = ["item", "similar_items"]`;
    nothing, `parts = []`; only title, `fields = ["title"]`. Other identifiers are the caller's choice.
    """

    layout: Literal["budgets", "paper"] = "budgets"
    """budgets: every part has its own limit, so that no part displaces another. paper: one limit for the whole prompt;
    whatever stands last is cut (on Beauty 99 % of the descriptions), and user prompts are cut at the same limit."""
    max_length: int = Field(default=128, ge=2)
    """Layout paper: tokens of a prompt, its end token included. Ignored in the layout budgets."""
    parts: tuple[Part, ...] = ("item", "similar_items", "metadata")
    """Parts of an item prompt, in this order."""
    fields: tuple[str, ...] | None = None
    """Metadata fields, in this order; by default all text fields of the catalogue."""
    similar_items: int = Field(default=10, ge=0)
    """Number of similar items in a prompt, best first."""
    identifier_tokens: int = Field(default=32, ge=1)
    """Layout budgets: tokens of the item's own identifier."""
    similar_tokens: int = Field(default=90, ge=0)
    """Layout budgets: tokens of the list of similar items; whole identifiers are dropped, the least similar first."""
    metadata_tokens: int = Field(default=64, ge=0)
    """Layout budgets: tokens of all metadata fields together, labels and separators included. Short fields leave their
    unused tokens to longer ones."""
    field_weights: dict[str, float] = Field(default_factory=dict)
    """Layout budgets: weight of a field in the split of the metadata tokens; by default 1, 1/2, 1/3, … in the order of
    the fields."""
    user_max_length: int = Field(default=256, ge=8)
    """Layout budgets: tokens of a user prompt; beyond it whole identifiers are dropped, the oldest first."""
    user_template: str = "What would user purchase after {history} ?"
    """The user prompt; `{history}` stands for the identifiers, newest first, joined by " ; "."""

    @field_validator("user_template")
    @classmethod
    def _one_history(cls, template: str) -> str:
        if template.count(HISTORY) != 1:
            raise ValueError(f"should hold {HISTORY} once")
        return template

    @field_validator("parts")
    @classmethod
    def _each_part_once(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(set(parts)) < len(parts):
            raise ValueError("should name each part once")
        return parts

    @field_validator("field_weights")
    @classmethod
    def _weights_are_positive(cls, weights: dict[str, float]) -> dict[str, float]:
        if any(weight <= 0 for weight in weights.values()):
            raise ValueError("should hold weights above 0; leave a field out of 'fields' instead")
        return weights


class GramNetworkSettings(HeadSettings):
    """Inputs that the network fuses, and the head that scores them."""

    max_history: int = Field(default=20, ge=1)
    """Newest items of a history that are read."""
    user_prompt: Literal["identifiers", "grounded", "none"] = "identifiers"
    """identifiers: a sentence of the history's identifiers (the paper's). grounded: the history's item rows, read
    causally. none: item prompts alone (the paper's ablation)."""
    item_prompts: bool | Annotated[int, Field(ge=1)] = True
    """Whether the items' own prompts are read; a number: those of the newest so many items of the history."""
    positions: bool = True
    """Whether a learned vector marks every prompt with its position in the history (the table P)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.user_prompt == "grounded" and self.head != "grounded":
            raise ValueError(
                'user_prompt "grounded" reads the item rows of head "grounded"; set that head, too, or user_prompt = '
                '"identifiers", as the paper has it'
            )
        if self.user_prompt == "none" and not self.item_prompts:
            raise ValueError("user_prompt and item_prompts are both off, so there is no input; keep one")
        return self


class GramTrainingSettings(TrainerSettings):
    """How GRAM is trained; the defaults suit models from scratch."""

    epochs: int = Field(default=12, ge=1)
    """Times every target is seen, at most."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Of AdamW, after the warm-up and before the decay."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of matrices; norms have none."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    batch_targets: int = Field(default=400, ge=1)
    """Approximate number of targets of a step: whole windows are packed until it is reached."""
    packed: bool = True
    """Whether all prefixes of a user share a window; false trains on one row per prefix as the reference does."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users that choose the weights; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of validation; the final evaluation uses the search settings."""
    evals_per_epoch: int = Field(default=1, ge=1)
    """Number of validations per epoch."""
    patience: int = Field(default=3, ge=1)
    """Validations in a row without a better model after which training stops."""
    distillation: DistillationSettings = DistillationSettings()
    """Soft targets from a teacher, beside the items that were bought."""


class GramSettings(Settings):
    """A GRAM recommender: prompts, network, training and search."""

    model_config = renamed(fusion="network")
    kind: Literal["late-fusion"] = "late-fusion"
    network: GramNetworkSettings = GramNetworkSettings()
    """What is fused, and what is scored."""
    prompts: PromptSettings = PromptSettings()
    """Contents of item and user prompts."""
    training: GramTrainingSettings = GramTrainingSettings()
    """How it is trained."""
    search: SearchSettings = SearchSettings()
    """The beam search over the trie."""
    token_spread: float = Field(default=0.1, gt=0)
    """Spread of the embeddings of added tokens, relative to that of the existing ones. 0.1 suits pretrained
    embeddings; 1 suits a model from scratch whose identifiers consist of added tokens."""
    seed: int = 0
    """Seed of fresh weights."""

    @model_validator(mode="after")
    def _head_suits_distillation(self) -> Self:
        check_teachable(self.training.distillation, flat=self.network.flat)
        return self

"""Settings shared by all trainings: optimiser, schedule, validation and checkpoints.

They are separate from the trainer so that a saved recommender can be read without importing it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lexirec.core.config import Settings
from lexirec.core.renamed import StoredAsBefore, renamed


class TrainerSettings(StoredAsBefore, Settings):
    """Steps, their size and how often the state is saved."""

    model_config = renamed(
        warmup="warmup_ratio",
        accumulate="gradient_accumulation_steps",
        max_gradient="max_grad_norm",
        average="ema_decay",
        validations_per_epoch="evals_per_epoch",
        validation_width="validation_num_beams",
    )
    later: ClassVar[tuple[str, ...]] = ("schedule", "precision")
    epochs: int = Field(default=10, ge=1)
    """Times every example is seen, at most."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Of AdamW, after the warm-up and before the decay."""
    schedule: Literal["cosine", "linear", "inverse-sqrt"] = "cosine"
    """How the learning rate falls after the warm-up: to 0 along a cosine or a line (GRAM, MiniOneRec's code), or with
    the square root of the steps (TIGER)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of matrices; norms have none, and neither have tables of which some rows must stay as they are."""
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches whose gradients make one step."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Global norm at which gradients are clipped."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay a step of the moving average of weights that is judged and kept, such as 0.998; 0 keeps the weights
    themselves."""
    evals_per_epoch: int = Field(default=2, ge=1)
    """How often weights are judged."""
    checkpoints_per_epoch: int = Field(default=4, ge=1)
    """How often the state is saved; a kill loses at most that share of an epoch."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products in training; weights and heads stay in float32. auto: bfloat16 on GPUs that have it, else float32.
    bfloat16 also on CPUs: two to three times as fast where they have matrix units for it (AMX), slower elsewhere."""
    seed: int = 0
    """Seed of order and dropout."""

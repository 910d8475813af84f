"""The settings of a causal recommender, from its prompts to how it is searched."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.models.distillation import check_teachable
from lexirec.models.tsrec.cached_lm import TSRecNetworkSettings
from lexirec.models.tsrec.grpo import GrpoSettings
from lexirec.models.tsrec.prompts import TSRecPromptSettings
from lexirec.models.tsrec.rewards import RewardSettings
from lexirec.models.tsrec.sa_init import SaInitSettings
from lexirec.models.tsrec.sft import SftSettings
from lexirec.models.tsrec.tasks import TaskSettings
from lexirec.nn.search import SearchSettings


class TSRecSettings(Settings):
    """A causal recommender, from its prompts to how it is searched."""

    kind: Literal["causal"] = "causal"
    network: TSRecNetworkSettings = TSRecNetworkSettings()
    """What is scored."""
    prompts: TSRecPromptSettings = TSRecPromptSettings()
    """How it is asked."""
    sa_init: SaInitSettings | None = None
    """Let tokens start with the meaning of their keywords (TS-Rec); without it they start near the mean of all rows."""
    tasks: TaskSettings = TaskSettings()
    """What it learns to answer; `ts_align` is TS-Rec's."""
    training: SftSettings = SftSettings()
    """How it is fine-tuned."""
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

    @property
    def wants_words(self) -> bool:
        """Whether it learns from what a lexicon says about tokens, if there is one."""
        return self.sa_init is not None or self.tasks.ts_align is None or self.tasks.ts_align > 0


class ReinforcementSettings(Settings):
    """How a fine-tuned recommender is polished."""

    training: GrpoSettings = GrpoSettings()
    """How it learns from what its proposals are paid."""
    rewards: RewardSettings = RewardSettings()
    """What they are paid for."""
    scorer: str | None = None
    """The baseline whose scores are the collaborative reward."""

    @model_validator(mode="after")
    def _scorer_where_one_pays(self) -> ReinforcementSettings:
        if self.rewards.collaborative and self.scorer is None:
            raise ValueError("rewards.collaborative needs 'scorer', the name of a baseline")
        return self

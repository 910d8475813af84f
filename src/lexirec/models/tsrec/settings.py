"""The settings of a causal recommender, from its prompts to how it is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lexirec.core.config import Settings
from lexirec.core.registry import WeightSettings
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.models.distillation import DistillationSettings, check_teachable
from lexirec.models.tsrec.cached_lm import TSRecNetworkSettings
from lexirec.models.tsrec.keywords import Pooling
from lexirec.models.tsrec.prompts import TSRecPromptSettings
from lexirec.models.tsrec.registry import REWARDS, TASKS
from lexirec.nn.search import SearchSettings

TITLE_TOKENS = 64
"""Tokens of a title that are asked or answered; few are longer."""


DESCRIPTION_TOKENS = 160
"""Tokens of a description, of a token's meaning or of a user's preference."""


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


class SftSettings(TrainerSettings):
    """How a causal recommender is fine-tuned. The defaults suit pretrained models; those from scratch learn faster."""

    trainable: Trainable = "full"
    """All weights; low-rank updates (peft) beside the rows of added tokens; or those rows alone. A grounded head is
    trained in any case."""
    lora: LoraSettings = LoraSettings()
    """The low-rank updates."""
    distillation: DistillationSettings = DistillationSettings()
    """What next items are learned from the memory, beside what was bought."""
    batch_size: int = Field(default=32, ge=1)
    """Examples of a batch, of like length; times `gradient_accumulation_steps` those of a step."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom a model is chosen; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of the choice; the final measurement uses the search settings."""
    patience: int = Field(default=3, ge=1)
    """Choices in a row without a better model after which training stops."""


class Limits(NamedTuple):
    """How far a policy may go.

    Attributes:
        clip: ratios beyond 1 ± clip are worth no more than that.
        beta: weight of the KL divergence from the reference.
        log_ratio: log-ratios beyond ± this are not trusted: a ratio stays there, the KL goes on as a straight line.
    """

    clip: float = 0.2
    beta: float = 0.04
    log_ratio: float = 3.0


class GrpoSettings(TrainerSettings):
    """How a recommender is polished. The defaults are safe for pretrained models; those from scratch learn faster."""

    epochs: int = Field(default=1, ge=1)
    """Times every case is seen."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Of AdamW, after the warm-up and before the cosine decay."""
    max_grad_norm: float = Field(default=0.3, gt=0)
    """Global norm at which gradients are clipped."""
    evals_per_epoch: int = Field(default=10, ge=1)
    """How often weights are judged."""
    cases: int = Field(default=20_000, ge=1)
    """Training cases used; a fixed random sample where there are more."""
    batch_size: int = Field(default=16, ge=1)
    """Cases of a batch; times `gradient_accumulation_steps` those of a step."""
    group: int = Field(default=16, ge=2)
    """Proposals of each case: the beams of the search."""
    add_target: bool = False
    """Whether the last proposal of a group without the target is replaced by it."""
    zero_groups: Literal["skip", "kl"] = "skip"
    """What becomes of groups whose rewards are all alike: left out, or held to the reference."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of the KL divergence from the weights of the beginning; 0 saves their copy. MiniOneRec runs with 0.001,
    for which divergences of 10^12 were reported."""
    updates: int = Field(default=1, ge=1)
    """Steps on the same proposals."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far a ratio pays; matters from the second update on."""
    max_log_ratio: float = Field(default=3.0, gt=0)
    """Beyond it log-ratios are not trusted."""
    max_drop: float = Field(default=0.1, ge=0, le=1)
    """Share of the validation figure of the beginning that may be lost; beyond it the run stops."""
    validation_users: int = Field(default=2000, ge=1)
    """Validation users by whom weights are chosen; a fixed random sample where there are more."""
    validation_num_beams: int = Field(default=20, ge=10)
    """Beam width of the choice."""

    @property
    def limits(self) -> Limits:
        """How far the policy may go."""
        return Limits(self.clip, self.beta, self.max_log_ratio)


class RewardSettings(WeightSettings):
    """What each reward weighs; 0 leaves it out. The defaults are MiniOneRec's."""

    parts: ClassVar[Mapping[str, Any]] = REWARDS
    exact: float = 1.0
    """Weight of 1 for the target."""
    rank_aware: float = 1.0
    """Weight of the fine on what stands in a list with the target."""
    prefix_overlap: float = 0.0
    """Weight of the share of the path in common with the target's."""
    semantic: float = 0.0
    """Weight of the cosine of item vectors."""
    collaborative: float = 0.0
    """Weight of another recommender's scores."""
    token_semantic: float = 0.0
    """Weight of tokens' meaning."""
    rank_slots: Literal["all", "others"] = "all"
    """Whether the fines sum to −1 over all places (MiniOneRec's code) or over those the target does not hold."""
    discount: float = Field(default=0.5, ge=0, le=1)
    """What a token's meaning counts below each wrong token."""


class TaskSettings(WeightSettings):
    """How often each task's rows stand in the mixture: 1 once, 0 never, 2.5 twice and half of them again."""

    parts: ClassVar[Mapping[str, Any]] = TASKS
    __pydantic_extra__: dict[str, Annotated[float, Field(ge=0)]] = Field(init=False)
    next_item: float = Field(default=1.0, ge=0)
    """T1: which item comes next."""
    sid_title: float = Field(default=1.0, ge=0)
    """T2: an item's title, and the item with a title."""
    history_title: float = Field(default=1.0, ge=0)
    """T3: which title comes next."""
    title_history_title: float = Field(default=0.0, ge=0)
    """T4: which title comes next, told by titles."""
    title_history_sid: float = Field(default=0.0, ge=0)
    """T5: which item comes next, told by titles."""
    sid_description: float = Field(default=0.0, ge=0)
    """T6: an item's description, and the item with a description."""
    preference: float = Field(default=0.0, ge=0)
    """T7: what a user likes; needs a text per user."""
    ts_align: float | None = Field(default=None, ge=0)
    """TS-Align: what a token means, and the token with a meaning; by default 1 with a lexicon, else 0."""
    title_tokens: int = Field(default=TITLE_TOKENS, ge=1)
    """Tokens of a title, at most."""
    description_tokens: int = Field(default=DESCRIPTION_TOKENS, ge=1)
    """Tokens of a description, of a token's meaning or of a user's preference, at most."""


class SaInitSettings(Settings):
    """How tokens get their first rows."""

    pooling: Pooling = "joined"
    """joined: the mean over all sub-words of the keywords in one line, where long keywords weigh more (TS-Rec's code).
    keywords: the mean of the keywords' means. weighted: the same, weighted by the lexicon's scores or, where it has
    none, by how few tokens of the level share the keyword."""
    norm: Literal["none", "resize", "vocabulary"] = "resize"
    """Length of the new rows: as they come out; the mean length these rows have now, fresh from `add_tokens`; or that
    of the vocabulary's (TS-Rec's code; two to three times as long on Qwen, and worse there, spec section 11.4)."""
    levels: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Levels of tokens to write, from 0; all by default."""
    residual: bool = False
    """Subtract the mean of the level's rows, so that words common to all tokens cancel."""
    shuffled: bool = False
    """The control: every token gets the words of another one of its level."""
    outputs: bool = True
    """Write the rows of an output table that is not tied to the input table, too, from its own rows."""
    seed: int = 0
    """Of the control."""


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
